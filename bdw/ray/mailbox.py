"""How the workers' first process talks to the console that started them, and is asked to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bdw.errors import Terminated
from bdw.parallel.stop_requests import Notice
from bdw.runs.metrics import EpochReport, ProgressListener, StepReport

Topic = Literal["step", "epoch", "measure", "packing", "line", "begun", "position", "ended"]
Letter = tuple[Topic, tuple[Any, ...]]


class Mailbox:
    """Letters wait here until the console takes them; whoever posts hears whether the run is to stop."""

    def __init__(self) -> None:
        self._letters: list[Letter] = []
        self._notice: Notice | None = None

    def post(self, letter: Letter) -> Notice | None:
        """Leave a letter; returns the notice to stop, if there is one."""
        self._letters.append(letter)
        return self._notice

    def take(self) -> list[Letter]:
        """All letters since the last time, in the order in which they came."""
        letters, self._letters = self._letters, []
        return letters

    def ask_to_stop(self, reason: str) -> None:
        """Answer the next letters with a notice."""
        self._notice = Notice(reason, stop=True)


def open_mailbox() -> Any:
    """A mailbox on this machine, which lives as long as the driver."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0)(Mailbox).options(scheduling_strategy=here).remote()


class Postman(ProgressListener):
    """Rank 0's `ProgressListener`: posts what it hears, without waiting. Steps that follow too quickly are left out."""

    def __init__(
        self, mailbox: Any, *, seconds_between: float = 0.25, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._mailbox = mailbox
        self._seconds_between = seconds_between
        self._clock = clock
        self._last: dict[Topic, float] = {}
        self._answer: Any = None
        self._notice: Notice | None = None

    def on_step(self, report: StepReport) -> None:
        """Post the report, if it is the epoch's first or last step, or the last letter about a step is old enough."""
        if report.step in (1, report.steps) or self._is_time("step"):
            self._post("step", report)

    def on_epoch(self, report: EpochReport) -> None:
        """Post it."""
        self._post("epoch", report)

    def on_measure(self, what: str, done: int, total: int | None) -> None:
        """Post it, if it is the last or the one before is old enough."""
        if done == total or self._is_time("measure"):
            self._post("measure", what, done, total)

    def on_packing(self, what: str, done: int, total: int | None) -> None:
        """Post it, if it is the last or the one before is old enough.

        Raises `Terminated`, so that what is half packed is removed, once the console wants the run to stop.
        """
        if done == total or self._is_time("packing"):
            self._post("packing", what, done, total)
        if self.notice() is not None:
            raise Terminated

    def on_warning(self, line: str) -> None:
        """Post what would otherwise stay in the log of a machine that nobody looks at."""
        self._post("line", line)

    def on_start(self, headline: str, position: tuple[int, int]) -> None:
        """Post that training begins, or goes on, and where."""
        self._post("line", headline)
        self._post("position", position)

    def on_begun(self) -> None:
        """Post that this worker is there, and will look at the images."""
        self._post("begun")

    def on_ended(self) -> None:
        """Post that this worker has ended before it trained, and left nothing half done."""
        self._post("ended")

    def notice(self) -> Notice | None:
        """What the console answered to an earlier letter."""
        if self._answer is not None and self._notice is None:
            ready, _ = ray.wait([self._answer], timeout=0)
            if ready:
                self._notice, self._answer = ray.get(self._answer), None
        return self._notice

    def _is_time(self, topic: Topic) -> bool:
        now = self._clock()
        if now - self._last.get(topic, -self._seconds_between) < self._seconds_between:
            return False
        self._last[topic] = now
        return True

    def _post(self, topic: Topic, *contents: Any) -> None:
        answer = self._mailbox.post.remote((topic, contents))
        if self._answer is None:
            self._answer = answer
