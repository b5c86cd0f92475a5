"""Does the ranking of the pool depend on the target? Rank correlations between the weight tables of a method's runs."""

from __future__ import annotations

import itertools
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.stats import rankdata

from bdw.runs.directory import RunDirectory


@dataclass(frozen=True)
class TargetDependence:
    """Mean rank correlations (Spearman's, -1 to 1) of the mean weights of all images between pairs of runs."""

    between_targets: float
    """Runs on two targets, with two seeds where there are several: runs of one seed share their noise."""
    between_seeds: float | None
    """Runs with two seeds on the same target: what noise alone leaves. None for a single seed."""
    num_targets: int


def target_dependence(results: pd.DataFrame, folder: Path, *, method: str) -> TargetDependence | None:
    """Compare the weight tables of that method's runs.

    Args:
        results: the long results table, whose column `run` names run directories below `folder`.
        folder: the sweep's.
        method: whose runs.

    Returns:
        None without two targets whose runs are here, rank the same images, and have weights that differ.
    """
    if "run" not in results.columns:
        return None
    own = results[results["method"] == method].drop_duplicates("run")
    ranks: dict[tuple[Hashable, Hashable], NDArray[np.float64]] = {}
    for domain, seed, run in own[["domain", "seed", "run"]].itertuples(index=False):
        path = RunDirectory(folder / str(run)).instance_weights
        if path.is_file():
            weights = pq.read_table(path, columns=["mean"])["mean"].to_numpy()
            if np.ptp(weights) > 0:
                ranks[domain, seed] = rankdata(weights)
    pairs = [(a, b) for a, b in itertools.combinations(ranks, 2) if len(ranks[a]) == len(ranks[b])]
    one_seed = len({seed for _, seed in ranks}) == 1
    targets = [_correlation(ranks[a], ranks[b]) for a, b in pairs if a[0] != b[0] and (one_seed or a[1] != b[1])]
    seeds = [_correlation(ranks[a], ranks[b]) for a, b in pairs if a[0] == b[0] and a[1] != b[1]]
    if not targets:
        return None
    between_seeds = float(np.mean(seeds)) if seeds else None
    return TargetDependence(float(np.mean(targets)), between_seeds, len({domain for domain, _ in ranks}))


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(np.corrcoef(one, other)[0, 1])
