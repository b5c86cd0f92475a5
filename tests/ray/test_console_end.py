"""The console's end of a run on workers: what SIGTERM and Ctrl-C do before a worker trains, and after."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import ray

from bdw import evaluation
from bdw.errors import RunStopped, Terminated
from bdw.parallel.stop_requests import INTERRUPTED, Notice, terminations
from bdw.ray.fit import _ConsoleEnd
from bdw.ray.mailbox import Mailbox, Postman
from bdw.ray.workers import Outcome
from bdw.runs.checkpoint import Position
from bdw.runs.console import ConsoleProgress

pytestmark = pytest.mark.usefixtures("local_ray")
SOON = 30.0
"""Seconds within which what is not waited for for ever comes, on any machine."""


@pytest.fixture
def console_end() -> _ConsoleEnd:
    return _ConsoleEnd(ConsoleProgress(measure=evaluation.measure("accuracy")))


@pytest.fixture
def workers() -> Iterator[Callable[[], Outcome]]:
    """Workers that never come; they are let go at the end of the test."""
    over = threading.Event()

    def train() -> Outcome:
        over.wait(10 * SOON)
        return {}

    yield train
    over.set()


def asked_after(seconds: float) -> Callable[[], Notice | None]:
    began = time.monotonic()
    return lambda: Notice("asked to end", stop=True) if time.monotonic() > began + seconds else None


def test_sigterm_ends_the_wait_for_workers_that_do_not_come(
    console_end: _ConsoleEnd, workers: Callable[[], Outcome], capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    with pytest.raises(Terminated):
        console_end.follow(workers, asked_after(0.3))
    assert time.monotonic() - began < SOON
    assert "asked to end: ending" in capsys.readouterr().out


def test_workers_that_never_answer_are_given_up(console_end: _ConsoleEnd, workers: Callable[[], Outcome]) -> None:
    Postman(console_end.mailbox).on_begun()
    with pytest.raises(Terminated):
        console_end.follow(workers, lambda: Notice("enough", stop=True) if console_end._has_begun else None)


def test_ctrl_c_ends_it_too(
    console_end: _ConsoleEnd, workers: Callable[[], Outcome], capfd: pytest.CaptureFixture[str]
) -> None:
    threading.Timer(0.5, signal.raise_signal, [signal.SIGINT]).start()
    with terminations(answers=False) as notice_board:
        notice_board()
        with pytest.raises(KeyboardInterrupt):
            console_end.follow(workers, notice_board)
    assert console_end.was_interrupted
    told = capfd.readouterr()
    assert (told.out.strip(), told.err) == (f"{INTERRUPTED}: ending", "")


def test_a_mailbox_that_takes_long_to_begin_is_not_waited_for(
    console_end: _ConsoleEnd, workers: Callable[[], Outcome]
) -> None:
    """An actor that wants what no machine has never begins."""
    console_end.mailbox = ray.remote(Mailbox).options(resources={"nowhere": 1}).remote()
    with pytest.raises(Terminated):
        console_end.follow(workers, asked_after(0.3))


def test_a_worker_that_has_begun_may_clean_up_and_is_waited_for_no_longer(
    console_end: _ConsoleEnd, workers: Callable[[], Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bdw.ray.fit.SECONDS_TO_CLEAN_UP", 100 * SOON)
    postman = Postman(console_end.mailbox)
    postman.on_begun()
    looks: list[None] = []

    def asked_once_begun() -> Notice | None:
        if not console_end._has_begun:
            return None
        looks.append(None)
        if len(looks) == 4:
            postman.on_ended()
        return Notice("asked to end", stop=True)

    with pytest.raises(Terminated):
        console_end.follow(workers, asked_once_begun)
    assert len(looks) >= 4, "it was not waited for"


def test_a_group_that_was_to_go_on_from_a_checkpoint_loses_nothing(
    console_end: _ConsoleEnd, workers: Callable[[], Outcome]
) -> None:
    Postman(console_end.mailbox).on_start("", Position(3, 20))
    console_end.follow(lambda: time.sleep(0.5) or {}, lambda: None)
    console_end.await_group()  # The first one has failed.
    with pytest.raises(RunStopped, match="stopped with a checkpoint after epoch 3 and 20 steps"):
        console_end.follow(workers, asked_after(0.0))


def test_workers_that_train_are_asked_and_waited_for(console_end: _ConsoleEnd) -> None:
    postman = Postman(console_end.mailbox)
    postman.on_start("", Position(0))

    def train() -> Outcome:
        deadline = time.monotonic() + SOON
        while postman.notice() is None:
            assert time.monotonic() < deadline
            postman.on_warning("a step")
            time.sleep(0.1)
        time.sleep(2.5)  # A checkpoint takes longer than the cleaning up of workers that do not train.
        return {"stopped": ("asked to end", "epoch 0 and 4 steps")}

    outcome = console_end.follow(train, lambda: Notice("asked to end", stop=True) if console_end.starts else None)
    assert outcome == {"stopped": ("asked to end", "epoch 0 and 4 steps")}
    assert ray.get(console_end.mailbox.take.remote()) == []
