"""What a sweep says while it runs: a live table on a terminal, plain lines anywhere else."""

from __future__ import annotations

import heapq
import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from ray import tune
from ray.tune.experiment import Trial
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bdw.evaluation import Measure
from bdw.ray.trial import WAITING_FOR
from bdw.runs.console import clock_time

ENDED = ("complete", "pruned", "failed")
MOST_ROWS = 20
OTHER_LINES = 5
"""Lines of the terminal that are kept for headings, the count of trials left out, the summary and the prompt."""
SECONDS_BETWEEN_TABLES = 0.25
SECONDS_BETWEEN_LINES = 5.0
SECONDS_TO_START = 15.0
"""What a trial whose machines are there needs at most; one that takes longer waits for them."""
COLUMNS: tuple[tuple[str, Literal["left", "right"]], ...] = (
    ("trial", "right"),
    ("method", "left"),
    ("target", "left"),
    ("settings", "left"),
    ("budget", "right"),
    ("{measure}", "right"),
    ("kept", "right"),
    ("images/s", "right"),
    ("left", "right"),
)


@dataclass
class _Line:
    """The state of a trial in the table."""

    number: str
    """Number of the study's trial."""
    title: str
    method: str
    target: str
    epoch: int = 0
    share: float = 0.0
    """Share of the budget that is used."""
    score: float = math.nan
    best: float = math.nan
    kept: float = math.nan
    images_per_second: float = math.nan
    seconds_in_all: float = math.nan
    """Seconds of the whole run at the pace so far, an earlier attempt and evaluations included."""
    heard_at: float = math.nan
    """Time of the last epoch's report, by the clock."""
    state: str = "starting"
    waiting_for: str = ""
    """The resources that its workers have not got yet."""
    waiting_since: float = math.nan
    """By the clock."""

    @classmethod
    def of(cls, trial: Trial) -> _Line:
        labels = trial.config["labels"]
        number = str(trial.config.get("number", ""))
        return cls(number, labels["title"], str(labels.get("method", "")), str(labels.get("domain", "")))

    def hear(self, row: Mapping[str, Any], now: float) -> None:
        """Take in an epoch's row."""
        self.epoch, self.share = row["epoch"], row["budget_share"]
        self.best = row["best_validation_score"]
        self.score, self.kept = row["validation_score"], row["kept_fraction"]
        self.images_per_second = row.get("images_per_second", math.nan)
        self.seconds_in_all = row.get("wall_seconds", math.nan) / self.share
        self.heard_at, self.state, self.waiting_for = now, "running", ""

    def is_waiting(self, now: float) -> bool:
        """Whether its workers have waited for machines for longer than a start takes."""
        return bool(self.waiting_for) and self.state not in ENDED and now - self.waiting_since > SECONDS_TO_START

    def seconds_left(self, now: float) -> float:
        """At the pace so far; NaN before the first epoch."""
        if not math.isfinite(self.seconds_in_all):
            return math.nan
        return max(0.0, self.seconds_in_all * (1 - self.share) - (now - self.heard_at))

    def cells(self, measure: Measure, now: float) -> tuple[str, ...]:
        """The cells under `COLUMNS`."""
        left = self.seconds_left(now)
        return (
            self.number,
            self.method,
            self.target,
            self.title.removeprefix(f"{self.method} on {self.target}, "),  # Said already.
            f"{100 * self.share:.0f} %",
            "" if math.isnan(self.score) else measure.shown(self.score),
            "" if math.isnan(self.kept) else f"{100 * self.kept:.0f} %",
            "" if math.isnan(self.images_per_second) else f"{self.images_per_second:,.0f}",
            "" if math.isnan(left) else clock_time(left),
        )


class SweepProgress(tune.Callback):  # type: ignore[misc]
    """Listens to Tune and shows the trials; a context manager, so that the terminal is left as it was.

    On a terminal a table of the running trials stands in one place, never higher than the terminal, above a line that
    counts all of them; only failures leave lines of their own. Elsewhere every epoch prints a line.

    Args:
        stage: What these trials are for, in a word.
        measure: What their validation scores are.
        num_trials: How many this stage may start.
        wants: What a trial reserves, in words; "" if a trial never waits for it.
        best_so_far: Best score of the stage's trials that ended before it was continued; NaN if there are none.
    """

    def __init__(
        self,
        stage: str,
        *,
        measure: Measure,
        num_trials: int,
        console: Console,
        wants: str = "",
        best_so_far: float = math.nan,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stage = stage
        self._measure = measure
        self._num_trials = num_trials
        self._console = console
        self._wants = wants
        self._best_so_far = best_so_far
        self._clock = clock
        terminal = console.is_terminal and not console.is_dumb_terminal
        self._live = Live(console=console, auto_refresh=False, transient=True) if terminal else None
        self._lines: dict[str, _Line] = {}
        self._pending: dict[str, float] = {}
        """Trials that have no machine yet -> since when."""
        self._began = self._last_line = clock()
        self._last_table = -math.inf

    def __enter__(self) -> Self:
        """Start the clock and, on a terminal, the table."""
        self._began = self._last_line = self._clock()
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the summary behind; an exception passes on."""
        if self._live is not None:
            self._live.stop()
        self._print(self._summary())

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Called by Tune when a trial gets its resources."""
        self._pending.pop(trial.trial_id, None)
        self._line(trial)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: Mapping[str, Any], **info: Any
    ) -> None:
        """Called by Tune after every report."""
        line = self._line(trial)
        if result.get("failure"):
            line.state = "failed"
            self._print(f"{self._stage}  {line.title}  {result['failure']}")
        elif result.get("ended"):
            line.state = "complete"
        elif WAITING_FOR in result:
            line.waiting_for, line.waiting_since = result[WAITING_FOR], self._clock()
        elif result.get("epoch", 0) > line.epoch:
            line.hear(result, self._clock())
            measured = not math.isnan(line.score)
            # A run that has pruned makes many short epochs, most of them without an evaluation.
            if self._live is None and (measured or self._clock() - self._last_line >= SECONDS_BETWEEN_LINES):
                self._print(self._epoch_line(line))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Called by Tune when a trial has ended or was stopped."""
        line = self._line(trial)
        if line.state in ("running", "starting"):
            line.state = "pruned"
            if self._live is None:
                self._print(f"{self._stage}  {line.title}  stopped early after epoch {line.epoch}")

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Called by Tune when a trial has failed for good."""
        line = self._line(trial)
        line.state = "failed"
        self._print(f"{self._stage}  {line.title}  crashed; the reason will stand in trials.csv")

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Called by Tune several times a second."""
        now = self._clock()
        self._pending = {t.trial_id: self._pending.get(t.trial_id, now) for t in trials if t.status == Trial.PENDING}
        if self._live is not None:
            if now - self._last_table >= SECONDS_BETWEEN_TABLES:
                self._live.update(self._table(now), refresh=True)
                self._last_table = now
            return
        # A sweep of days would drown a job's log in signs of life.
        patience = max(SECONDS_BETWEEN_LINES, (now - self._began) / 200)
        if now - self._last_line >= patience:
            self._print(self._summary())

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks for a restore that has no use here.
        return {}

    @property
    def counts(self) -> dict[str, int]:
        """State -> trials of this stage that are in it: those of `ENDED`, running, and waiting (to be started, or for
        machines)."""
        counts = {state: sum(line.state == state for line in self._lines.values()) for state in ENDED}
        counts["running"] = sum(not line.is_waiting(self._clock()) for line in self._running())
        return {**counts, "waiting": max(0, self._num_trials - sum(counts.values()))}

    @property
    def best(self) -> float:
        """Best score of the stage so far, earlier starts included; NaN before the first evaluation."""
        best = self._best_so_far
        for line in self._lines.values():
            best = line.best if self._measure.better(line.best, best) else best
        return best

    @property
    def images_per_second(self) -> float:
        """Of all trials that run, as they reported last."""
        speeds = (line.images_per_second for line in self._running())
        return sum(speed for speed in speeds if math.isfinite(speed))

    def _line(self, trial: Trial) -> _Line:
        if trial.trial_id not in self._lines:
            self._lines[trial.trial_id] = _Line.of(trial)
        return self._lines[trial.trial_id]

    def _running(self) -> list[_Line]:
        return [line for line in self._lines.values() if line.state not in ENDED]

    def _epoch_line(self, line: _Line) -> str:
        *_, budget, score, kept, speed, left = line.cells(self._measure, self._clock())
        parts = [
            f"epoch {line.epoch}, {budget} of the budget",
            f"{self._measure.label} {score or 'not measured'}",
            f"kept {kept}",
        ]
        parts += [f"{speed} images/s"] if speed else []
        parts += [f"{left} left"] if left and line.share < 1 else []
        return "  ".join([self._stage, line.title, *parts])

    def _summary(self) -> str:
        now = self._clock()
        in_wait = self._waiting_for_machines(now)
        if not self._lines:
            what = f"waiting for {', '.join(in_wait)}" if in_wait else "starting"
            return f"{self._stage}  the first trial is {what}  {clock_time(now - self._began)}"
        counts = {state: sum(line.state == state for line in self._lines.values()) for state in ENDED}
        ended = [f"{number} {state}" for state, number in counts.items() if number or state == "complete"]
        running = sum(not line.is_waiting(now) for line in self._running())
        parts = [f"{', '.join(ended)} of {self._num_trials}", f"{running} running"]
        parts += [f"{number} waiting for {wants}" for wants, number in in_wait.items()]
        waiting = self._num_trials - len(self._lines) - self._num_pending(now)
        parts += [f"{waiting} waiting"] if waiting > 0 else []
        best = self.best
        parts += [] if math.isnan(best) else [f"best {self._measure.label} {self._measure.shown(best)}"]
        parts.append(f"{clock_time(now - self._began)} since the start")
        seconds_left = self._seconds_left(now)
        parts += [f"about {clock_time(seconds_left)} left"] if math.isfinite(seconds_left) else []
        return "  ".join([self._stage, *parts])

    def _num_pending(self, now: float) -> int:
        """Trials that Tune would start, if it had a machine for them."""
        return sum(now - since > SECONDS_TO_START for since in self._pending.values()) if self._wants else 0

    def _waiting_for_machines(self, now: float) -> dict[str, int]:
        """Resources in words -> how many trials wait for them."""
        found = Counter(line.waiting_for for line in self._lines.values() if line.is_waiting(now))
        if pending := self._num_pending(now):
            found[self._wants] += pending
        return dict(found)

    def _seconds_left(self, now: float) -> float:
        """Seconds until the last trial ends, with as many side by side as now and none stopped early; NaN if
        unknown."""
        paces = [line.seconds_in_all for line in self._lines.values()]
        known = [pace for pace in paces if math.isfinite(pace)]
        running = self._running()
        waiting = max(0, self._num_trials - len(self._lines))
        if not known or not (running or waiting):
            return math.nan
        whole = statistics.fmean(known)
        lefts = (line.seconds_left(now) for line in running)
        ends = [whole if math.isnan(left) else left for left in lefts] or [0.0]
        heapq.heapify(ends)
        for _ in range(waiting):
            heapq.heapreplace(ends, ends[0] + whole)  # The next waiting trial takes the first free place.
        return max(ends)

    def _table(self, now: float) -> Group:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for heading, justify in COLUMNS:
            # Names give way when the terminal is narrow; numbers do not.
            table.add_column(heading.format(measure=self._measure.label), justify=justify, no_wrap=justify == "right")
        running = self._running()
        room = max(1, min(MOST_ROWS, self._console.size.height - OTHER_LINES))
        for line in running[:room]:
            cells = line.cells(self._measure, now)
            table.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in cells))
        more = [Text(f"and {len(running) - room} more running", style="dim")] if len(running) > room else []
        return Group(table, *more, Text(self._summary()))

    def _print(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)
        self._console.file.flush()
        self._last_line = self._clock()
