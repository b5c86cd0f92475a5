"""Ray's warning that a worker's machine is about to go, as the loop's notice board."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from bdw.parallel.stop_requests import Notice

LAST_CALL = 15.0
"""Seconds before the deadline at which workers save once more what they did since the announcement."""


def announced() -> Notice | None:
    """The notice that Ray Train's watcher has left with this worker, if any; reads a variable, asks nobody.

    The public `ray.train.get_preemption_info` is a barrier of all workers through another process, too slow for every
    step; ours agree in the step's own exchange. A private name of Ray 2.60, hence the pin in pyproject.toml.
    """
    from ray.train.v2._internal.execution.context import get_train_context

    info = get_train_context().preemption_context.preemption_info
    return None if info is None else notice_of(info.preempted_node_ids, info.deadline_ms, now=time.time())


def notice_of(nodes: Sequence[str], deadline_ms: int | None, *, now: float) -> Notice:
    """The notice that these nodes (ids) go at that time (milliseconds since 1970; None or 0: unknown).

    The notice does not ask the run to stop: Ray starts the workers again elsewhere, and until then they train on. Close
    to the deadline its text changes, so that it counts as a new notice and the workers save once more.
    """
    names = ", ".join(node[:8] for node in nodes)
    if not deadline_ms:
        return Notice(f"node(s) {names} will be taken away", stop=False)
    at = datetime.fromtimestamp(deadline_ms / 1000, UTC).strftime("%H:%M:%S UTC")
    soon = deadline_ms / 1000 - now <= LAST_CALL
    return Notice(f"node(s) {names} will be taken away at {at}{', in a moment' if soon else ''}", stop=False)
