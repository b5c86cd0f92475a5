"""The scorer that a run leaves behind: its rater learns from the run's weights, and is measured on held-out ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bdw.data.packed import PackedDataset
from bdw.runs.directory import RunDirectory
from bdw.runs.encoder_input import load_encoder
from bdw.scoring.held_out import HeldOut
from bdw.scoring.rater import Rater
from bdw.scoring.scorer import descriptions, write_scorer
from bdw.weighting.weighters.protocol import WeightTable

LARGEST_SAMPLE = 20_000
"""Images that a scorer is made from, at most: a forward pass of each, and two regressions."""
LEAST_SAMPLE = 25
"""Images below which there is no scorer: a fifth of them could not tell how good it is."""
HELD_OUT_SHARE = 0.2
"""Share of these that the rater does not learn from."""


def fit_scorer(
    run: RunDirectory,
    source: PackedDataset,
    weights: WeightTable,
    kept: NDArray[np.bool_],
    device: torch.device,
    path: Path | None = None,
) -> HeldOut | None:
    """Write the run's scorer.safetensors, or the scorer at that path, and return how well it predicts. It belongs to
    the run's encoder.safetensors.

    Images whose Beta distribution is still the uniform prior tell nothing and take no part. None, and no file, where
    too few are left or all weights are equal.
    """
    has_evidence = bool(np.isfinite(weights.a).all() and np.isfinite(weights.b).all())
    told = np.flatnonzero(~((weights.a == 1) & (weights.b == 1)))
    # The same sample whatever the run's seed: which images it holds is no part of an experiment.
    sample = np.sort(np.random.default_rng(0).permutation(told)[:LARGEST_SAMPLE])
    if len(sample) < LEAST_SAMPLE or np.ptp(weights.mean[sample]) == 0:
        return None
    encoder, transform = load_encoder(run.encoder)
    parts = zip(*descriptions(encoder.to(device), transform, _images(source, sample)), strict=True)
    described = [torch.cat(part) for part in parts]
    order = np.random.default_rng(1).permutation(len(sample))
    out, learnt = np.split(order, [round(HELD_OUT_SHARE * len(order))])
    mean, total = weights.mean[sample], (weights.a + weights.b)[sample]
    rater = Rater.fit([part[learnt] for part in described], mean[learnt], total[learnt] if has_evidence else None)
    found = HeldOut.measured(
        rater.rate([part[out] for part in described]),
        len(learnt),
        mean[out],
        kept[sample][out],
        None if source.planted is None else source.planted[sample][out],
    )
    write_scorer(run, rater, found, path)
    return found


def _images(source: PackedDataset, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The images of these rows: all of them as the memory map that they are."""
    return source.images if len(rows) == len(source) else np.asarray(source.images[rows])
