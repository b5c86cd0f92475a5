"""SIGTERM, by which schedulers and shells end a process, taken like Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def sigterm_as_interrupt() -> Iterator[Callable[[], bool]]:
    """Inside the block SIGTERM is Ctrl-C: a `KeyboardInterrupt` in the main thread; a second SIGTERM ends the process.

    Gives a function that says whether it was SIGTERM. Libraries turn what a handler raises into a plain
    `KeyboardInterrupt`, so that its type would not tell. Does nothing outside the main thread, where no handler can be
    set, or where SIGTERM is ignored.
    """
    heard: list[int] = []

    def take(number: int, frame: FrameType | None) -> None:
        del frame
        heard.append(number)
        signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt

    def was_sigterm() -> bool:
        return bool(heard)

    before = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or before is signal.SIG_IGN:
        yield was_sigterm
        return
    signal.signal(signal.SIGTERM, take)
    try:
        yield was_sigterm
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
