"""Trying again: until it works or patience ends, at growing intervals, saying so once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from bdw.storage.retry import persistently


class Time:
    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def failing(times: int) -> Callable[[], str]:
    failures: Iterator[int] = iter(range(times))

    def action() -> str:
        if next(failures, None) is not None:
            raise OSError(5, "Input/output error")
        return "done"

    return action


def test_the_result_after_failures(caplog: pytest.LogCaptureFixture) -> None:
    time = Time()
    assert persistently(failing(3), what="writing", seconds=60, clock=time.clock, sleep=time.sleep) == "done"
    assert time.pauses == [0.5, 1, 2]
    assert [record.message for record in caplog.records] == [
        "writing failed ([Errno 5] Input/output error); trying again for up to 60 s",
        "writing succeeded after 3 failure(s) and 4 s",
    ]


def test_patience_ends_with_the_error_itself() -> None:
    time = Time()
    with pytest.raises(OSError, match="Input/output"):
        persistently(failing(1000), what="writing", seconds=100, clock=time.clock, sleep=time.sleep)
    assert time.now == 100
    assert max(time.pauses) == 30


def test_no_patience_is_one_attempt() -> None:
    time = Time()
    with pytest.raises(OSError, match="Input/output"):
        persistently(failing(1), what="writing", seconds=0, clock=time.clock, sleep=time.sleep)
    assert time.pauses == []


def test_other_errors_are_not_tried_again() -> None:
    def wrong() -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        persistently(wrong, what="writing", seconds=60, sleep=lambda _: pytest.fail("waited"))
