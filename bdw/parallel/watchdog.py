"""A process that makes no step for too long is ended, with a trace of where it hung.

Whoever started the process (Ray Train, torchrun, a scheduler) then sees a dead worker and replaces it. For a worker
that hangs, it would wait for ever.
"""

from __future__ import annotations

import faulthandler
import time
from types import TracebackType
from typing import Self

STANDARD_ERROR = 2  # The file descriptor: `sys.stderr` may be something that has none.


class Watchdog:
    """Armed by `pat`, disarmed by `rest` and at the end of the block.

    The wait is done in C without the interpreter's lock, so that it works where Python code can no longer run. The
    trace of every thread goes to standard error, the exit status is 1.
    """

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._armed_at: float | None = None

    def __enter__(self) -> Self:
        """Arm."""
        self.pat()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Disarm."""
        self.rest()

    def pat(self) -> None:
        """Report that all is well: the wait begins anew. It is re-armed only once a twentieth of it has passed, since
        arming costs as much as a tiny step."""
        now = time.monotonic()
        if self._armed_at is None or now - self._armed_at > self._seconds / 20:
            faulthandler.dump_traceback_later(self._seconds, exit=True, file=STANDARD_ERROR)
            self._armed_at = now

    def rest(self) -> None:
        """Disarm: what comes next may take as long as it likes."""
        faulthandler.cancel_dump_traceback_later()
        self._armed_at = None
