"""When to save in the middle of an epoch: by the clock, and once for every notice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from bdw.errors import Terminated
from bdw.parallel.stop_requests import INTERRUPTED, Notice, StopRequests, terminations


def test_by_the_clock() -> None:
    now = [0.0]
    stop_requests = StopRequests(minutes=2, clock=lambda: now[0])
    seen = []
    for now[0] in (0, 119, 120, 121, 240, 242):
        seen.append(stop_requests.wishes())
        if seen[-1][0]:
            stop_requests.saved()
    assert seen == [(False, False), (False, False), (True, False), (False, False), (True, False), (False, False)]


def test_a_notice_is_answered_once_and_a_changed_one_again() -> None:
    board = [None, Notice("soon", stop=False), Notice("soon", stop=False), Notice("sooner", stop=False)]
    notices = iter(board)
    stop_requests = StopRequests(minutes=60, notice_board=lambda: next(notices))
    wishes = []
    for _ in board:
        wishes.append(stop_requests.wishes())
        if wishes[-1][0]:
            stop_requests.saved()
    assert wishes == [(False, False), (True, False), (False, False), (True, False)]


def test_a_notice_to_stop_is_a_wish_until_it_is_granted() -> None:
    stop_requests = StopRequests(minutes=60, notice_board=lambda: Notice("enough", stop=True))
    assert stop_requests.wishes() == stop_requests.wishes() == (True, True)
    assert stop_requests.reason_to_stop() == stop_requests.reason_to_save() == "enough"


def test_who_only_has_to_save_gives_no_reason_to_stop() -> None:
    stop_requests = StopRequests(minutes=60, notice_board=lambda: Notice("the node goes", stop=False))
    assert stop_requests.wishes() == (True, False)
    assert stop_requests.reason_to_save() == "the node goes"
    assert stop_requests.reason_to_stop() is None


def test_the_first_sigterm_is_a_notice_and_the_second_is_final() -> None:
    heard = []
    outside = signal.signal(signal.SIGTERM, lambda *_: heard.append("outside"))
    try:
        with terminations() as board:
            assert board() is None
            os.kill(os.getpid(), signal.SIGTERM)
            notice = board()
            assert notice is not None
            assert notice.stop
            assert heard == []
            os.kill(os.getpid(), signal.SIGTERM)
            assert heard == ["outside"]
        os.kill(os.getpid(), signal.SIGTERM)
        assert heard == ["outside", "outside"]
    finally:
        signal.signal(signal.SIGTERM, outside)


def test_ctrl_c_is_a_notice_too_and_the_second_breaks_off(capfd: pytest.CaptureFixture[str]) -> None:
    with terminations() as board:
        assert board() is None
        os.kill(os.getpid(), signal.SIGINT)
        assert board() == Notice(INTERRUPTED, stop=True)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert capfd.readouterr().err.strip() == "interrupted: saving first; once more breaks off"


@pytest.mark.parametrize(("number", "error"), [(signal.SIGTERM, Terminated), (signal.SIGINT, KeyboardInterrupt)])
def test_before_anybody_looks_there_is_nothing_to_save(number: int, error: type[BaseException]) -> None:
    outside = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(error), terminations():
        os.kill(os.getpid(), number)
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == outside
    assert signal.set_wakeup_fd(-1) == -1


def test_what_runs_in_the_background_goes_on_ignoring_ctrl_c() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with terminations() as board:
            os.kill(os.getpid(), signal.SIGINT)
            assert board() is None
    finally:
        signal.signal(signal.SIGINT, before)


WAITING = """
import datetime, os, torch.distributed
from bdw.parallel.stop_requests import terminations
processes = []
for _ in range(2):
    processes.append(os.fork())
    if processes[-1] == 0:
        with terminations():
            torch.distributed.TCPStore("127.0.0.1", 0, 2, True, datetime.timedelta(hours=1), True)
print(*processes, flush=True)
for process in processes:
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
"""


def test_waiting_for_a_worker_that_does_not_come_is_ended() -> None:
    """By either signal; torch is imported once for both who wait."""
    parent = subprocess.Popen([sys.executable, "-c", WAITING], stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        waiting = map(int, parent.stdout.readline().split())
        time.sleep(1)
        for process, number in zip(waiting, (signal.SIGTERM, signal.SIGINT), strict=True):
            began = time.monotonic()
            os.kill(process, number)
            assert int(parent.stdout.readline()) == 128 + number
            assert time.monotonic() - began < 6


@pytest.mark.parametrize("stop", [True, False])
def test_notices_are_told_apart_by_what_they_say(stop: bool) -> None:
    assert Notice("a", stop=stop) == Notice("a", stop=stop)
    assert Notice("a", stop=stop) != Notice("b", stop=stop)
