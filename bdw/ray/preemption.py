"""Ray's warning that a worker's machine is about to go, as the loop's notice board."""

from __future__ import annotations

from bdw.interruptions import Notice


def announced() -> Notice | None:
    """The notice that Ray Train's watcher has left with this worker, if any; reads a variable, asks nobody.

    The public `ray.train.get_preemption_info` is a barrier of all workers through another process, too slow for every
    step; ours agree in the step's own exchange. A private name of Ray 2.60, hence the pin in pyproject.toml.
    """
    from ray.train.v2._internal.execution.context import get_train_context

    info = get_train_context().preemption_context.preemption_info
    if info is None:
        return None
    nodes = ", ".join(node[:8] for node in info.preempted_node_ids)
    # Ray starts the workers again elsewhere, so there is no reason to stop; until then they may get further.
    return Notice(f"node(s) {nodes} will be taken away (deadline {info.deadline_ms})", stop=False)
