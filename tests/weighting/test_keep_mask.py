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
