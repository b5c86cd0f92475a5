"""Trying again what a disk, a file server or an object store may refuse for a while."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
logger = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds


def persistently(
    action: Callable[[], T],
    *,
    what: str,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """The action's result; an `OSError` is tried again, at growing intervals, until `seconds` have passed.

    The first failure and the recovery are logged as `what`. The action must be safe to repeat.
    """
    began, pause, failures = clock(), FIRST_PAUSE, 0
    while True:
        try:
            result = action()
        except OSError as error:
            left = seconds - (clock() - began)
            if left <= 0:
                raise
            failures += 1
            if failures == 1:
                logger.warning("%s failed (%s); trying again for up to %.0f s", what, error, left)
            sleep(min(pause, left))
            pause = min(2 * pause, LONGEST_PAUSE)
        else:
            if failures:
                logger.warning("%s succeeded after %d failure(s) and %.0f s", what, failures, clock() - began)
            return result
