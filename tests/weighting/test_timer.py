from __future__ import annotations

import itertools

import pytest
import torch

from bdw.weighting import timer
from bdw.weighting.timer import WeightingTimer


class Queue:
    """A device that works through what the host queues; its events say when it got there, in milliseconds."""

    now = 0.0

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing
            self.at: float | None = None

        def record(self) -> None:
            self.at = Queue.now

        def elapsed_time(self, end: Queue.Event) -> float:
            assert self.at is not None
            assert end.at is not None, "read before the device got there"
            return end.at - self.at


def test_the_host_clock_counts_what_lies_between() -> None:
    times = iter([10.0, 12.5, 20.0, 21.0])
    clock = WeightingTimer(torch.device("cpu"), lambda: next(times))
    clock.start()
    clock.stop()
    assert clock.take() == pytest.approx(2.5)
    assert clock.take() == 0.0
    clock.start()
    clock.stop()
    assert clock.take() == pytest.approx(1.0)


def test_a_step_that_learns_nothing_takes_no_time() -> None:
    times = itertools.count()
    clock = WeightingTimer(torch.device("cpu"), lambda: float(next(times)))
    assert clock.take() == 0.0
    clock.stop()
    assert clock.take() == 0.0
    clock.start()
    assert clock.take() == 0.0, "a step that failed halfway"


def test_on_a_gpu_the_devices_clock_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timer.torch.cuda, "Event", Queue.Event)
    clock = WeightingTimer(torch.device("cuda"), lambda: pytest.fail("the host's clock says nothing about the device"))
    for began, ended in ((100.0, 130.0), (200.0, 250.0)):
        Queue.now = began
        clock.start()
        Queue.now = ended
        clock.stop()
        assert clock.take() == pytest.approx((ended - began) / 1000)
        assert clock.take() == 0.0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_work_that_the_host_only_queued_is_timed_whole() -> None:
    """Against the time that the host waits for the same work."""
    device = torch.device("cuda")
    matrix = torch.rand(2048, 2048, device=device)

    def work() -> None:
        for _ in range(50):
            matrix @ matrix

    clock = WeightingTimer(device)
    work()
    torch.cuda.synchronize()
    clock.start()
    work()
    clock.stop()
    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    began.record()
    work()
    ended.record()
    torch.cuda.synchronize()
    assert clock.take() > 0.2 * began.elapsed_time(ended) / 1000
