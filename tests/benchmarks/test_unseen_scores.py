"""The benchmark of scores for unseen images, in small, and that of planted near-duplicates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_images

from bdw.data.near_duplicates import correlations
from bdw.data.perceptual_hash import grey_thumbnails
from benchmarks import near_duplicates, unseen_scores


def test_a_row_compares_seen_and_unseen_images(tmp_path: Path) -> None:
    arguments = unseen_scores.Arguments(scripts=("hebrew",), seeds=(3,), images=600)
    row = unseen_scores.row_of(tmp_path, arguments, "hebrew", 3)
    assert (row["script"], row["seed"]) == ("hebrew", 3)
    assert row["unseen_auroc"] > 0.8
    assert all(0 <= row[name] <= 1 for name in ("own_auroc", "held_out_kept_auroc", "held_out_coverage"))


def test_pairs_are_counted_by_their_originals() -> None:
    groups, originals = np.array([0, 1, 0, 0, 2, 1]), np.array([0, 1, 2, 0, 4, 1])
    assert near_duplicates.found_pairs(groups, originals) == (4, 2)


@pytest.mark.parametrize("number", range(6))
def test_copies_are_nearly_the_same(number: int) -> None:
    image = load_sample_images().images[0][200:232, 300:332].transpose(2, 0, 1)
    copy = near_duplicates.changed(image, number, np.random.default_rng(0))
    assert copy.shape == image.shape
    assert copy.dtype == np.uint8
    assert not np.array_equal(copy, image)
    both = grey_thumbnails(torch.from_numpy(np.stack([image, copy])))
    assert correlations(both[:1], both[1:]).item() > 0.9
