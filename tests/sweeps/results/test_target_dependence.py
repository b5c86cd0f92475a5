"""Rank correlations of weight tables are scipy's, and are taken of the right pairs of runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from sweeps.results.target_dependence import target_dependence


def _sweep(folder: Path, weights: dict[tuple[str, int], np.ndarray]) -> pd.DataFrame:
    rows = []
    for (domain, seed), mean in weights.items():
        run = f"runs/{domain}-{seed}"
        (folder / run).mkdir(parents=True)
        pd.DataFrame({"mean": mean}).to_parquet(folder / run / "instance_weights.parquet")
        rows += [
            {"method": "BDW", "domain": domain, "seed": seed, "run": run, "metric": m} for m in ("accuracy", "loss")
        ]
    return pd.DataFrame(rows)


def test_pairs_of_targets_differ_in_their_seed_too_and_pairs_of_seeds_have_one_target(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    shared = draw.random(200)
    weights = {(d, s): np.round(shared + draw.random(200), 1) for d in ("x", "y", "z") for s in (0, 1)}
    found = target_dependence(_sweep(tmp_path, weights), tmp_path, method="BDW")
    assert found is not None

    def mean(pairs: list[tuple[tuple[str, int], tuple[str, int]]]) -> float:
        return float(np.mean([spearmanr(weights[a], weights[b]).statistic for a, b in pairs]))

    targets = [((a, s), (b, 1 - s)) for a, b in (("x", "y"), ("x", "z"), ("y", "z")) for s in (0, 1)]
    assert found.between_targets == pytest.approx(mean(targets))
    assert found.between_seeds == pytest.approx(mean([((d, 0), (d, 1)) for d in "xyz"]))
    assert found.num_targets == 3


def test_what_cannot_be_compared_is_left_out(tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, 50)
    table = _sweep(tmp_path, {("x", 0): ramp, ("y", 1): ramp[:20], ("z", 1): np.ones(50), ("x", 1): ramp})
    assert target_dependence(table, tmp_path, method="BDW") is None
    assert target_dependence(table, tmp_path, method="plain") is None
    assert target_dependence(table.drop(columns="run"), tmp_path, method="BDW") is None
    (tmp_path / "runs/x-0/instance_weights.parquet").unlink()
    assert target_dependence(table, tmp_path, method="BDW") is None


def test_one_seed_has_no_second_one_to_compare_with(tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, 50)
    found = target_dependence(_sweep(tmp_path, {("x", 0): ramp, ("y", 0): ramp**2}), tmp_path, method="BDW")
    assert found is not None
    assert (found.between_targets, found.between_seeds, found.num_targets) == (pytest.approx(1.0), None, 2)
