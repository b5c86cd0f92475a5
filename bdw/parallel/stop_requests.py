"""When a run must save in the middle of an epoch: every so many minutes, and when its machine is about to go."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from bdw.errors import Terminated
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


INTERRUPTED = "interrupted (Ctrl-C)"
_REASONS = {signal.SIGTERM: "this process was asked to end (SIGTERM)", signal.SIGINT: INTERRUPTED}
SECONDS_TO_CLEAN_UP = 4.0


@contextmanager
def terminations(*, answers: bool = True) -> Iterator[NoticeBoard]:
    """Inside the block SIGTERM (schedulers send it before they kill) and Ctrl-C are notices; a second one ends the
    process.

    Until somebody looks at the notice board, nothing is trained yet that could be saved, and they end the process: by
    `Terminated` or `KeyboardInterrupt`, so that a half-packed folder is removed, and `SECONDS_TO_CLEAN_UP` later in any
    case, since code that waits for another process hears of no exception.

    `answers`: whether the first Ctrl-C gets its line on the console; no where whoever looks at the board says more.
    """
    notices: list[Notice] = []
    is_looked_at = threading.Event()

    def look() -> Notice | None:
        is_looked_at.set()
        return notices[0] if notices else None

    def take(number: int, frame: FrameType | None) -> None:
        del frame
        for taken, handler in before.items():
            signal.signal(taken, handler)
        if not is_looked_at.is_set():
            raise KeyboardInterrupt if number == signal.SIGINT else Terminated
        notices.append(Notice(_REASONS[signal.Signals(number)], stop=True))
        if number == signal.SIGINT and answers:
            os.write(2, b"\ninterrupted: saving first; once more breaks off\n")  # print may be under way already.

    # A shell lets what it starts in the background ignore Ctrl-C.
    heard = [number for number in _REASONS if signal.getsignal(number) is not signal.SIG_IGN]
    with _ended_after_all(heard, is_looked_at):
        before = {number: signal.signal(number, take) or signal.SIG_DFL for number in heard}
        try:
            yield look
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def _ended_after_all(numbers: Sequence[signal.Signals], is_looked_at: threading.Event) -> Iterator[None]:
    """End the process `SECONDS_TO_CLEAN_UP` after one of these signals, unless the block is left or training by
    then."""
    ears, mouth = socket.socketpair()
    mouth.setblocking(False)
    is_left = threading.Event()

    def listen() -> None:
        while number := ears.recv(1):
            if number[0] in numbers and not is_looked_at.is_set() and not is_left.wait(SECONDS_TO_CLEAN_UP):
                os._exit(128 + number[0])

    # The system tells this socket of a signal at once; handlers wait until the main thread is back in Python.
    before = signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
    listener = threading.Thread(target=listen, daemon=True, name="signals")
    listener.start()
    try:
        yield
    finally:
        is_left.set()
        signal.set_wakeup_fd(before)
        mouth.close()
        listener.join()
        ears.close()
