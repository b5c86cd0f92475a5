"""What a run says while it runs: a live line on a terminal, plain lines anywhere else (a file, a job's log)."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO, cast

from rich.console import Console
from rich.live import Live
from rich.text import Text

from bdw.runs import break_even
from bdw.runs.metrics import EpochReport, StepReport

if TYPE_CHECKING:
    from bdw.evaluation import Measure


class ConsoleProgress:
    """The `ProgressListener` of the command line; a context manager, so that the terminal is left as it was.

    On a terminal one line follows the steps and every epoch leaves a line of its own. Elsewhere every epoch prints a
    line, and a step does when the last line is `seconds_between_lines` seconds old. Only rank 0 may have one.
    """

    def __init__(
        self,
        *,
        measure: Measure,
        console: Console | None = None,
        seconds_between_lines: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._measure = measure
        self._console = console or Console(highlight=False)
        self._seconds_between_lines = seconds_between_lines
        self._clock = clock
        terminal = self._console.is_terminal and not self._console.is_dumb_terminal
        self._live = Live(console=self._console, transient=True, refresh_per_second=8) if terminal else None
        self._last_line = clock()
        self._first_step_ended: float | None = None
        self._steps_since = 0
        self._last_step = (0, 0)
        self._first_share = math.nan
        self._epoch_began, self._epoch_began_at = math.nan, 0
        self._num_epochs = 0
        self._best: EpochReport | None = None

    def __enter__(self) -> Self:
        """Start the live line, on a terminal."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Remove the live line; an exception passes on."""
        if self._live is not None:
            self._live.stop()

    def recall(self, history: Iterable[EpochReport]) -> None:
        """Take in the epochs that a resumed run has behind it: one of them may stay the best."""
        for report in history:
            self._best = report if report.is_best else self._best

    def on_step(self, report: StepReport) -> None:
        """Show where the run is; see the class for when a line is printed."""
        now = self._clock()
        self._num_epochs = report.epochs
        if self._first_step_ended is None:
            # The time before holds loading and compiling, which says nothing about the steps to come.
            self._first_step_ended, self._first_share = now, report.budget_share
        else:
            # Workers elsewhere leave out steps that follow too quickly, but for the last of an epoch.
            epoch, step = self._last_step
            self._steps_since += max(0, report.step - (step if report.epoch == epoch else 0))
        if report.epoch != self._last_step[0] or report.step < self._last_step[1]:
            self._epoch_began, self._epoch_began_at = now, report.step
        self._last_step = (report.epoch, report.step)
        if self._live is not None:
            self._live.update(Text(self._step_line(report, now), no_wrap=True, overflow="ellipsis"))
        elif now - self._last_line >= self._seconds_between_lines:
            self.say(self._step_line(report, now))

    def on_epoch(self, report: EpochReport) -> None:
        """Print the epoch's line."""
        self.recall([report])
        self.say(epoch_line(report, self._num_epochs, self._measure, self._best))

    def on_measure(self, what: str, done: int, total: int | None) -> None:
        """Show how far a measure is, as for steps."""
        line = f"{what}  {done:,}" + ("" if total is None else f"/{total:,}")
        if self._live is not None:
            self._live.update(Text(line, no_wrap=True, overflow="ellipsis"))
        elif self._clock() - self._last_line >= self._seconds_between_lines:
            self.say(line)

    def say(self, line: str) -> None:
        """Print a line of its own."""
        self._console.print(Text(line), soft_wrap=True)
        self._console.file.flush()
        self._last_line = self._clock()

    def _step_line(self, report: StepReport, now: float) -> str:
        steps = report.step - self._epoch_began_at
        elapsed = f"{1000 * (now - self._epoch_began) / steps:.1f}" if steps > 0 else "?"
        # What matters most comes first: a narrow terminal cuts the rest off.
        return (
            f"{_where(report, report.epochs)}  step {_of(report.step, report.steps)}  "
            f"{clock_time(self._seconds_left(report, now)):>5} left  {_figures(report)}  "
            f"{report.images_per_second:>7,.0f} images/s  {elapsed:>6} ms/step{_balance(report)}"
        )

    def _seconds_left(self, report: StepReport, now: float) -> float:
        """Seconds left by the elapsed time per step, evaluations included; pruning makes later epochs shorter than this
        assumes.

        With a budget of images by the time per image, since the number of images left is known.
        """
        if self._first_step_ended is None or not self._steps_since:
            return math.nan
        share = report.budget_share
        if math.isfinite(share):
            used = share - self._first_share
            return (now - self._first_step_ended) / used * (1 - share) if used > 0 else math.nan
        left = (report.steps - report.step) + (report.epochs - report.epoch) * report.steps
        return (now - self._first_step_ended) / self._steps_since * left


def console_on(file: io.TextIOBase) -> Console:
    """A console that writes plain text to a file, whatever the environment says of colours."""
    return Console(file=cast("TextIO", file), force_terminal=False, color_system=None, highlight=False)


def epoch_line(report: EpochReport, epochs: int, measure: Measure, best: EpochReport | None = None) -> str:
    """One aligned line with units: epoch, loss, meta-loss, kept share, validation score, speed, seconds.

    `best` is the last epoch flagged `is_best`; None where it is not known.
    """
    return (
        f"{_where(report, epochs)}  {_figures(report)} ({report.kept:,} images)"
        f"{_validation(report, measure, best)}  "
        f"{report.images_per_second:>7,.0f} images/s  {report.seconds:>6.1f} s{_balance(report)}"
    )


def _validation(report: EpochReport, measure: Measure, best: EpochReport | None) -> str:
    if math.isnan(report.validation_score):
        return ""
    so_far = "" if best is None else f" (best {measure.shown(best.validation_score)}, epoch {best.epoch})"
    return f"  validation {measure.label} {measure.shown(report.validation_score):>7}{so_far}"


def clock_time(seconds: float) -> str:
    """Seconds as h:mm:ss, or m:ss below an hour; `?` for what is not finite."""
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _where(report: StepReport | EpochReport, epochs: int) -> str:
    """The epoch and the number of epochs; with a budget of images the epoch and the share of the budget that is
    used."""
    if not math.isnan(report.saved_seconds):
        return f"epoch {_of(report.epoch, epochs)}"
    return f"epoch {report.epoch:>3}  {100 * report.budget_share:5.1f} % of the budget"


def _of(position: int, total: int) -> str:
    return f"{position:>{len(str(total))}}/{total}"


def _figures(report: StepReport | EpochReport) -> str:
    meta = "" if math.isnan(report.meta_loss) else f"  meta-loss {report.meta_loss:6.4f}"
    return f"loss {report.loss:6.4f}{meta}  kept {100 * report.kept_fraction:5.1f} %"


def _balance(report: StepReport | EpochReport) -> str:
    words = break_even.in_words(report.weighting_seconds, report.saved_seconds)
    return f"  {words}" if words else ""
