"""What a sweep says while it runs: a live table on a terminal, plain lines anywhere else."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from ray import tune
from ray.tune.experiment import Trial
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bdw.evaluation import Measure
from bdw.progress import clock_time

ENDED = ("complete", "pruned", "failed")
ENDED_SHOWN = 8
SECONDS_BETWEEN_LINES = 5.0


@dataclass
class _Line:
    """What is known of a trial."""

    title: str
    epoch: int = 0
    score: float = math.nan
    kept: float = math.nan
    state: str = "starting"

    def cells(self, last_epoch: int, measure: Measure) -> tuple[str, str, str, str, str]:
        score = "" if math.isnan(self.score) else measure.shown(self.score)
        kept = "" if math.isnan(self.kept) else f"{100 * self.kept:.0f} %"
        return self.title, f"{self.epoch}/{last_epoch}", score, kept, self.state


class SweepProgress(tune.Callback):  # type: ignore[misc]
    """Listens to Tune and shows the trials; a context manager, so that the terminal is left as it was.

    Args:
        stage: What these trials are for, in a word.
        measure: What their validation scores are.
        num_trials: How many this stage may start.
        last_epoch: Epochs of a whole trial.
    """

    def __init__(
        self,
        stage: str,
        *,
        measure: Measure,
        num_trials: int,
        last_epoch: int,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stage = stage
        self._measure = measure
        self._num_trials = num_trials
        self._last_epoch = last_epoch
        self._console = console
        self._clock = clock
        terminal = console.is_terminal and not console.is_dumb_terminal
        self._live = Live(console=console, refresh_per_second=4, transient=True) if terminal else None
        self._lines: dict[str, _Line] = {}
        self._epochs_run = 0
        self._began = self._last_line = clock()

    def __enter__(self) -> Self:
        """Start the clock and, on a terminal, the table."""
        self._began = self._last_line = self._clock()
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the summary behind; what went wrong, if anything did, goes on its way."""
        if self._live is not None:
            self._live.stop()
        self._print(self._summary())

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Called by Tune when a trial gets its resources."""
        self._lines.setdefault(trial.trial_id, _Line(trial.config["labels"]["title"]))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: Mapping[str, Any], **info: Any
    ) -> None:
        """Called by Tune after every report."""
        line = self._lines.setdefault(trial.trial_id, _Line(trial.config["labels"]["title"]))
        if result.get("failure"):
            line.state = "failed"
            self._print(f"{self._stage}  {line.title}  {result['failure']}")
        elif result.get("ended"):
            line.state = "complete"
        elif result.get("epoch", 0) > line.epoch:
            line.epoch = result["epoch"]
            line.score, line.kept = result["validation_score"], result["kept_fraction"]
            line.state = "running"
            self._epochs_run += 1
            if self._live is None:
                self._print(self._epoch_line(line))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Called by Tune when a trial has ended or was stopped."""
        line = self._lines[trial.trial_id]
        if line.state in ("running", "starting"):
            line.state = "pruned"
            self._print(f"{self._stage}  {line.title}  stopped early after epoch {line.epoch}")

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Called by Tune when a trial has failed for good."""
        line = self._lines.setdefault(trial.trial_id, _Line(trial.config["labels"]["title"]))
        line.state = "failed"
        self._print(f"{self._stage}  {line.title}  crashed; the reason will stand in trials.csv")

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Called by Tune several times a second."""
        now = self._clock()
        # A sweep of days would drown a job's log in signs of life.
        patience = max(SECONDS_BETWEEN_LINES, (now - self._began) / 200)
        if self._live is not None:
            self._live.update(Group(self._table(), Text(self._summary())))
        elif now - self._last_line >= patience:
            self._print(self._summary())

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks for a restore that has no use here.
        return {}

    def _epoch_line(self, line: _Line) -> str:
        title, epoch, score, kept, _ = line.cells(self._last_epoch, self._measure)
        return f"{self._stage}  {title}  epoch {epoch}  {self._measure.label} {score or 'not measured'}  kept {kept}"

    def _summary(self) -> str:
        counts = {
            state: sum(line.state == state for line in self._lines.values())
            for state in ("complete", "pruned", "failed")
        }
        running = len(self._lines) - sum(counts.values())
        parts = [f"{number} {state}" for state, number in counts.items() if number or state == "complete"]
        best = math.nan
        for line in self._lines.values():
            best = line.score if self._measure.better(line.score, best) else best
        told = "" if math.isnan(best) else f"  best {self._measure.label} {self._measure.shown(best)}"
        seconds_left = self._seconds_left()
        left = f"  at most {clock_time(seconds_left)} left" if running and math.isfinite(seconds_left) else ""
        if not self._lines:
            return f"{self._stage}  the first trial is starting  {clock_time(self._clock() - self._began)}"
        return (
            f"{self._stage}  {', '.join(parts)} of {self._num_trials}  {running} running{told}  "
            f"{clock_time(self._clock() - self._began)} since the start{left}"
        )

    def _seconds_left(self) -> float:
        """Epochs that may still come, at the pace so far; early stopping only makes it less."""
        if self._epochs_run == 0:
            return math.inf
        ended = [line for line in self._lines.values() if line.state in ENDED]
        running = sum(line.epoch for line in self._lines.values()) - sum(line.epoch for line in ended)
        to_come = (self._num_trials - len(ended)) * self._last_epoch - running
        return (self._clock() - self._began) * to_come / self._epochs_run

    def _table(self) -> Table:
        table = Table("trial", "epoch", self._measure.label, "kept", "state", box=None, pad_edge=False)
        lines = list(self._lines.values())
        ended = [line for line in lines if line.state in ENDED]
        for line in [*ended[-ENDED_SHOWN:], *(line for line in lines if line not in ended)]:
            table.add_row(*line.cells(self._last_epoch, self._measure), style="dim" if line in ended else "")
        return table

    def _print(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)
        self._console.file.flush()
        self._last_line = self._clock()
