"""How long a step works on the weights: meta pass, tangents and the weighter's update."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import torch


class _Timer(Protocol):
    def start(self) -> None: ...

    def stop(self) -> None: ...

    def seconds(self) -> float: ...


class WeightingTimer:
    """Adds up the seconds between `start` and `stop`, for whoever takes them at the end of a step.

    On a GPU the device's own clock counts, since the host only queues work: events mark both places in its queue and
    are read when the host has waited for the device anyway, so that nothing waits for the sake of being timed.
    """

    def __init__(self, device: torch.device | None = None, host_clock: Callable[[], float] = time.perf_counter) -> None:
        self._timer: _Timer = _EventTimer() if device is not None and device.type == "cuda" else _HostTimer(host_clock)
        self._running = self._stopped = False

    def start(self) -> None:
        """What is queued from now on is for the weights."""
        self._timer.start()
        self._running, self._stopped = True, False

    def stop(self) -> None:
        """The weights have learnt; nothing without a `start`."""
        if self._running:
            self._timer.stop()
        self._running, self._stopped = False, self._running

    def take(self) -> float:
        """Seconds since the last time, 0 where nothing was started; after the host has waited for the device."""
        seconds = self._timer.seconds() if self._stopped else 0.0
        self._stopped = False
        return seconds


class _HostTimer:
    """Where the host computes, or waits for what does."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = self._ended = 0.0

    def start(self) -> None:
        self._began = self._clock()

    def stop(self) -> None:
        self._ended = self._clock()

    def seconds(self) -> float:
        return self._ended - self._began


class _EventTimer:
    """Two marks in the device's queue. The weighter's update runs on the host between them while the device is idle,
    which the second one's time includes."""

    def __init__(self) -> None:
        self._began, self._ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def start(self) -> None:
        self._began.record()

    def stop(self) -> None:
        self._ended.record()

    def seconds(self) -> float:
        milliseconds: float = self._began.elapsed_time(self._ended)
        return milliseconds / 1000
