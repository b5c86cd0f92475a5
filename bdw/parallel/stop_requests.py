"""When a run must save in the middle of an epoch: every so many minutes, and when its machine is about to go."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from bdw.parallel import collectives


@dataclass(frozen=True)
class Notice:
    """A notice that this worker's machine, or this process, is about to go. Equal notices are the same notice."""

    reason: str
    stop: bool
    """Whether to end the run after saving, since nobody will start this worker again."""


NoticeBoard = Callable[[], Notice | None]
"""Looks for a notice; called on every worker after every step, so it must be quick."""


def no_notice() -> None:
    """The notice board of a worker that nobody warns."""


class StopRequests:
    """What this worker wants after a step: nothing (mostly), a checkpoint, or the end of the run.

    Only rank 0's clock counts; a notice to any worker counts. The workers add up their wishes in an exchange that every
    step makes anyway, so that all save after the same step.
    """

    def __init__(
        self, minutes: float, notice_board: NoticeBoard = no_notice, clock: Callable[[], float] = time.monotonic
    ):
        self._seconds = 60 * minutes
        self._notice_board = notice_board
        self._clock = clock
        self._last = clock()
        self._answered: Notice | None = None
        self._notice: Notice | None = None

    def wishes(self) -> tuple[bool, bool]:
        """Whether to save now, and whether to stop then."""
        self._notice = self._notice_board()
        is_new = self._notice is not None and self._notice != self._answered
        return self.minutes_are_up() or is_new, is_new and self._notice is not None and self._notice.stop

    def minutes_are_up(self) -> bool:
        """Whether the last checkpoint is older than the interval; False on all ranks but 0."""
        return collectives.rank() == 0 and self._clock() - self._last >= self._seconds

    def saved(self) -> None:
        """A checkpoint was written: the clock starts anew, and a notice is answered."""
        self._last = self._clock()
        self._answered = self._notice

    def reason_to_save(self) -> str | None:
        """The reason in this worker's notice; None without a notice."""
        return None if self._notice is None else self._notice.reason

    def reason_to_stop(self) -> str | None:
        """The reason in this worker's notice, if the notice asks to stop."""
        return None if self._notice is None or not self._notice.stop else self._notice.reason


@contextmanager
def terminations() -> Iterator[NoticeBoard]:
    """Inside the block SIGTERM is a notice (schedulers send it before they kill); a second one ends the process."""
    notices: list[Notice] = []

    def take(number: int, frame: FrameType | None) -> None:
        del frame
        notices.append(Notice("this process was asked to end (SIGTERM)", stop=True))
        signal.signal(number, before)

    before = signal.signal(signal.SIGTERM, take)
    try:
        yield lambda: notices[0] if notices else None
    finally:
        signal.signal(signal.SIGTERM, before)
