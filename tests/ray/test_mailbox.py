"""What rank 0 posts and hears: letters in order, steps thinned out, and the console's wish to stop."""

from __future__ import annotations

import dataclasses
import time

import pytest
import ray

from bdw.errors import Terminated
from bdw.ray.mailbox import Postman, open_mailbox
from bdw.runs.metrics import StepReport

STEP = StepReport(
    epoch=1, epochs=2, step=1, steps=100, loss=1.0, meta_loss=2.0, kept_fraction=1.0, images_per_second=10.0
)

pytestmark = pytest.mark.usefixtures("local_ray")


def test_the_first_and_the_last_step_and_some_between_are_posted() -> None:
    now = [0.0]
    mailbox = open_mailbox()
    postman = Postman(mailbox, seconds_between=1.0, clock=lambda: now[0])
    for step in range(1, 101):
        now[0] = 0.1 * step
        postman.on_step(dataclasses.replace(STEP, step=step))
    letters = ray.get(mailbox.take.remote())
    assert {topic for topic, _ in letters} == {"step"}
    steps = [report.step for _, (report,) in letters]
    assert steps[0] == 1
    assert steps[-1] == 100
    assert steps == sorted(steps)
    assert 10 <= len(steps) <= 13


def test_everything_else_arrives_in_order_and_once() -> None:
    mailbox = open_mailbox()
    postman = Postman(mailbox)
    postman.on_start("source  digits", (2, 30))
    postman.on_warning("warning: storage")
    postman.on_packing("source", 5, 10)
    postman.on_packing("source", 10, 10)
    assert ray.get(mailbox.take.remote()) == [
        ("line", ("source  digits",)),
        ("position", ((2, 30),)),
        ("line", ("warning: storage",)),
        ("packing", ("source", 5, 10)),
        ("packing", ("source", 10, 10)),
    ]
    assert ray.get(mailbox.take.remote()) == []


def test_the_consoles_wish_reaches_the_workers_with_a_later_letter() -> None:
    mailbox = open_mailbox()
    postman = Postman(mailbox)
    postman.on_warning("before")
    ray.get(mailbox.ask_to_stop.remote("enough"))
    deadline = time.monotonic() + 30
    while (notice := postman.notice()) is None:
        assert time.monotonic() < deadline
        postman.on_warning("after")
        time.sleep(0.01)
    assert notice.stop
    assert notice.reason == "enough"
    assert postman.notice() == notice


def test_packing_ends_where_the_console_wants_the_run_to_stop() -> None:
    mailbox = open_mailbox()
    postman = Postman(mailbox, seconds_between=0.0)
    postman.on_packing("source", 1, 10)
    ray.get(mailbox.ask_to_stop.remote("enough"))

    def pack_on() -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            postman.on_packing("source", 2, 10)
            time.sleep(0.01)

    with pytest.raises(Terminated):
        pack_on()
    postman.on_ended()
    assert ray.get(mailbox.take.remote())[-1] == ("ended", ())
