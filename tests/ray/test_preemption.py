"""What a worker makes of Ray's announcement that machines will go."""

from __future__ import annotations

from bdw.ray.preemption import LAST_CALL, notice_of

DEADLINE = 1_800_000_000_000


def notice(seconds_left: float, deadline_ms: int | None = DEADLINE) -> str:
    found = notice_of(["0123456789abcdef", "fedcba9876543210"], deadline_ms, now=DEADLINE / 1000 - seconds_left)
    assert not found.stop, "Ray starts the workers again, nobody need stop"
    return found.reason


def test_it_says_who_goes_and_when() -> None:
    assert notice(100) == "node(s) 01234567, fedcba98 will be taken away at 08:00:00 UTC"


def test_it_is_another_one_shortly_before_the_deadline_and_only_then() -> None:
    assert notice(100) == notice(LAST_CALL + 1) != notice(LAST_CALL - 1) == notice(-5)


def test_without_a_deadline_there_is_one_notice() -> None:
    assert notice(100, None) == notice(1, None) == notice(100, 0)


def test_ray_keeps_its_announcement_where_we_read_it() -> None:
    """Private names: a new version of Ray that renames them must fail here and not on somebody's cluster."""
    from ray.train.v2._internal.execution.context import TrainContext
    from ray.train.v2._internal.execution.preemption import PreemptionContext
    from ray.train.v2.api.preemption import PreemptionInfo

    assert "preemption_context" in TrainContext.__dataclass_fields__
    assert PreemptionContext().preemption_info is None
    info = PreemptionInfo(deadline_ms=1, preempted_node_to_ranks={"b": [1], "a": [0]})
    assert (info.preempted_node_ids, info.deadline_ms) == (["a", "b"], 1)
