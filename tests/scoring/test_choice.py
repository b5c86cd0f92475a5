"""Who is kept: amounts, clusters, near-duplicates, and amounts that cannot be had."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bdw.errors import InputError
from bdw.scoring.choice import Amount, chosen

SCORES = np.array([0.1, 0.9, 0.5, 0.8, 0.5, 0.7])


def kept(**amount: Any) -> list[int]:
    options = {name: amount.pop(name) for name in ("clusters", "groups") if name in amount}
    return np.flatnonzero(chosen(SCORES, Amount(**amount), **options)).tolist()


def test_amounts() -> None:
    assert kept(count=2) == [1, 3]
    assert kept(share=0.5) == [1, 3, 5]
    assert kept(share=1.0) == [0, 1, 2, 3, 4, 5]
    assert kept(share=0.01) == [1], "at least one"
    assert kept(at_least=0.7) == [1, 3, 5], "the threshold itself is enough"
    assert kept(count=4) == [1, 2, 3, 5], "of equal scores the first image"


def test_clusters_give_equally_many_their_best_ones() -> None:
    clusters = np.array([0, 0, 1, 0, 1, 2])
    assert kept(count=3, clusters=clusters) == [1, 2, 5]
    assert kept(count=5, clusters=clusters) == [1, 2, 3, 4, 5], "cluster 2 has no more"
    assert kept(count=4, clusters=clusters) == [1, 2, 3, 5], "the odd one goes to the best second"


def test_of_near_duplicates_the_best_is_kept() -> None:
    groups = np.array([0, 0, 1, 0, 1, 2])
    assert kept(count=3, groups=groups) == [1, 2, 5]
    assert kept(at_least=0.0, groups=groups) == [1, 2, 5]
    with pytest.raises(InputError, match="count: 4 asks for 4 of 3 images that are no near-duplicates of better ones"):
        kept(count=4, groups=groups)
    with pytest.raises(InputError, match=r"share: 0\.9 asks for 5 of 3 images"):
        kept(share=0.9, groups=groups)


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ({}, "count, share, at_least: none given; allowed: one of them"),
        ({"count": 1, "share": 0.1}, "count, share, at_least: count, share given"),
        ({"count": 0}, "count: 0 cannot work; allowed: at least 1"),
        ({"count": 7}, "count: 7 asks for 7 of 6 images; allowed: at most all of them"),
        ({"share": 0.0}, r"share: 0\.0 cannot work; allowed: above 0, at most 1"),
        ({"share": 1.5}, r"share: 1\.5 cannot work"),
        ({"at_least": float("nan")}, "at_least: nan cannot work"),
        ({"at_least": 0.95}, r"at_least: no score reaches 0\.95; allowed: at most 0\.9, the highest score"),
        ({"at_least": 0.5, "clusters": np.zeros(6, dtype=np.int64)}, "clusters: cannot work with at_least"),
    ],
)
def test_what_cannot_work(amount: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        kept(**amount)
