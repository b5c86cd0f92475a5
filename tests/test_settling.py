from __future__ import annotations

from typing import Any

import pytest

from bdw.config import RunConfig
from bdw.errors import InputError
from bdw.settling import check, settled


@pytest.mark.parametrize(
    ("kept", "epochs", "expected"),
    [
        ([], 1, False),
        ([1000], 1, False),
        ([1000, 1000, 1000, 1000], 2, False),  # Nothing has ever been pruned: learning has hardly begun.
        ([991, 991, 991], 2, False),
        ([990, 990, 990], 2, True),
        ([1000, 600, 600], 2, False),
        ([600, 600], 1, True),
        ([1000, 619, 600], 1, True),
        ([1000, 620, 600], 1, False),  # 20 of 400.
        ([1000, 620, 610, 600], 2, False),
        ([1000, 620, 619, 601], 2, True),
        ([1000 - 10 * epoch for epoch in range(20)], 1, False),  # Slow, but steady.
    ],
)
def test_weights_have_settled_when_pruning_has_begun_and_ended(kept: list[int], epochs: int, expected: bool) -> None:
    assert settled(kept, 1000, epochs) is expected


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"weighter": "uniform"}, "no steps that could do without learning"),
        ({"weighter": "l2rw"}, "no steps that could do without learning"),
        ({"prune": False}, "without pruning"),
        ({"pruned_for": 2}, "pruned_for, which brings images back"),
    ],
)
def test_what_can_never_settle_is_refused(options: dict[str, Any], why: str) -> None:
    check(RunConfig.from_flat(options))
    with pytest.raises(InputError, match=rf"settled_epochs: 3 cannot work .*{why}; allowed: none"):
        check(RunConfig.from_flat({"settled_epochs": 3, **options}))
    with pytest.raises(InputError, match=r"settled_epochs: 0 cannot work; allowed: at least 1, or none for never"):
        RunConfig.from_flat({"settled_epochs": 0})
