"""The keep mask: final, with a floor that says so."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from bdw.config import RunConfig
from bdw.weighting.keep_mask import KeepMask, min_kept

N = 10
USEFULNESS = np.linspace(0, 1, N)


def _flags(*indices: int) -> np.ndarray:
    flags = np.zeros(N, dtype=np.bool_)
    flags[list(indices)] = True
    return flags


def test_prunes_what_is_useless_and_remembers_when() -> None:
    mask = KeepMask(N, min_kept=2)
    assert mask.prune(_flags(1, 4), USEFULNESS, epoch=3).tolist() == [1, 4]
    assert mask.count == 8
    assert mask.pruned_at_epoch[4] == 3
    assert mask.pruned_at_epoch[0] == 0


def test_a_choice_before_training_may_be_smaller_than_the_floor() -> None:
    mask = KeepMask(N, min_kept=5)
    assert mask.choose(~_flags(0, 1, 2, 3, 4, 5, 6)).tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert mask.kept.nonzero().flatten().tolist() == [7, 8, 9]
    assert mask.pruned_at_epoch.tolist() == [1] * 7 + [0] * 3
    assert mask.prune(_flags(8), USEFULNESS, epoch=1).tolist() == []
    again = KeepMask(N, min_kept=5)
    again.load_state_dict(mask.state_dict())
    assert again.min_kept == 3


def test_never_revives() -> None:
    mask = KeepMask(N, min_kept=2)
    mask.prune(_flags(1, 4), USEFULNESS, epoch=1)
    assert mask.prune(_flags(4, 5), USEFULNESS, epoch=2).tolist() == [5]
    assert mask.kept.nonzero().flatten().tolist() == [0, 2, 3, 6, 7, 8, 9]
    assert mask.pruned_at_epoch[4] == 1


def test_keeps_a_floor_of_the_best_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    mask = KeepMask(N, min_kept=3)
    with caplog.at_level(logging.WARNING):
        mask.prune(_flags(*range(N)), USEFULNESS, epoch=2)
    assert mask.kept.nonzero().flatten().tolist() == [7, 8, 9]
    assert "wanted to leave 0 of 10 images; kept the 3" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        mask.prune(_flags(0, 1), USEFULNESS, epoch=3)
        mask.prune(_flags(*range(N)), USEFULNESS, epoch=4)
    assert not caplog.records, "nothing more goes, so there is nothing new to say"


def test_ties_at_the_floor_are_drawn_by_the_seed_and_favour_no_folder() -> None:
    """Ten folders of a hundred images each, all equally useful: with chance alone a folder keeps 20 +- 3.8 of 200."""
    useless, usefulness = np.ones(1000, dtype=np.bool_), np.full(1000, 0.5)

    def left(seed: int) -> np.ndarray:
        mask = KeepMask(1000, min_kept=200, seed=seed)
        mask.prune(useless, usefulness, epoch=1)
        return mask.kept.nonzero().flatten().numpy()

    by_folder = np.array([np.bincount(left(seed) // 100, minlength=10) for seed in range(50)])
    assert (by_folder.sum(axis=1) == 200).all()
    # Hypergeometric: variance 200 * 0.1 * 0.9 * 800 / 999. The mean of 50 seeds is within five standard errors.
    assert np.abs(by_folder.mean(axis=0) - 20).max() < 5 * np.sqrt(200 * 0.09 * 800 / 999 / 50)
    assert left(3).tolist() == left(3).tolist()
    assert left(3).tolist() != left(4).tolist()


def test_ties_are_drawn_only_where_usefulness_ties() -> None:
    usefulness = np.array([0.1, 0.5, 0.5, 0.5, 0.5, 0.9, 0.2, 0.5, 0.5, 0.8])
    found = set()
    for seed in range(40):
        mask = KeepMask(N, min_kept=4, seed=seed)
        mask.prune(_flags(*range(N)), usefulness, epoch=1)
        kept = mask.kept.nonzero().flatten().tolist()
        assert {5, 9} < set(kept)
        assert set(kept) <= {1, 2, 3, 4, 5, 7, 8, 9}
        found |= set(kept)
    assert found == {1, 2, 3, 4, 5, 7, 8, 9}


@pytest.mark.parametrize(
    ("fields", "floor"),
    [
        ({}, 32),
        ({"kept_share": 0.1}, 800),
        ({"kept_share": 0.25}, 2000),
        ({"kept_share": 0.001}, 32),  # 8 are less than a batch.
        ({"kept_share": 0.1, "min_kept": 5}, 5),
    ],
)
def test_the_floor_is_a_batch_or_a_share_or_what_is_asked_for(fields: dict[str, float], floor: int) -> None:
    assert min_kept(RunConfig().replace(batch_size=32, **fields), 8000) == floor


def test_a_floor_that_holds_everything_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    mask = KeepMask(N, min_kept=N)
    with caplog.at_level(logging.WARNING):
        for epoch in (1, 2):
            assert not len(mask.prune(_flags(1, 4), USEFULNESS, epoch))
    assert len(caplog.records) == 1


def test_a_floor_above_the_source_is_the_source() -> None:
    mask = KeepMask(N, min_kept=64)
    mask.prune(_flags(*range(N)), USEFULNESS, epoch=1)
    assert mask.count == N


def test_state_round_trip() -> None:
    mask, other = KeepMask(N, min_kept=2), KeepMask(N, min_kept=2)
    mask.prune(_flags(1, 4), USEFULNESS, epoch=3)
    other.load_state_dict(mask.state_dict())
    assert torch.equal(mask.kept, other.kept)
    assert torch.equal(mask.pruned_at_epoch, other.pruned_at_epoch)
