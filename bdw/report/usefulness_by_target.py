"""What a run says of its images for each of several targets, side by side: how alike the targets' tables are, which
domains of the source help which target, and which images divide two targets."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from bdw.report.run_files import WEIGHT_COLUMNS, RunFiles
from bdw.report.table_files import read_table
from bdw.runs.directory import RunDirectory

MOST_DOMAINS = 20
"""Domains of the source that are shown, those of the most images."""
SAMPLE = 100_000
"""Images from which correlations are computed, drawn by a fixed seed."""


@dataclass(frozen=True)
class UsefulnessByTarget:
    """The tables of one run; all of them are of the same images, in their order."""

    tables: dict[str, pd.DataFrame]
    """Target -> its usefulness table, as `instance_weights.parquet` has it."""

    @functools.cached_property
    def means(self) -> pd.DataFrame:
        """(n, targets) mean weights."""
        return pd.DataFrame({target: table["mean"].to_numpy() for target, table in self.tables.items()})

    def correlations(self) -> pd.DataFrame:
        """(targets, targets) Spearman's rank correlations of the mean weights; NaN for a table that is all alike."""
        means = self.means
        if len(means) > SAMPLE:
            means = means.iloc[np.random.default_rng(0).permutation(len(means))[:SAMPLE]]
        return means.corr(method="spearman")

    def pairs(self) -> pd.Series[float]:
        """Correlation of every two different targets, once, by (target, target), the lowest first."""
        matrix = self.correlations()
        rows, columns = np.triu_indices(len(matrix), k=1)
        index = pd.MultiIndex.from_arrays([matrix.index[rows], matrix.columns[columns]])
        values = pd.Series(matrix.to_numpy()[rows, columns], index=index, dtype="float64")
        return values.dropna().sort_values(kind="stable")

    def domains(self) -> pd.DataFrame | None:
        """(domains, targets) average mean weight of the images of each domain of the source: of each kind where kinds
        are known, otherwise of each folder. None where there are fewer than two."""
        table = next(iter(self.tables.values()))
        domain = _domains_of(table)
        counts = domain.value_counts()
        if len(counts) < 2:
            return None
        means = self.means.groupby(domain.to_numpy()).mean()
        return means.loc[sorted(counts.index[:MOST_DOMAINS])]

    def dividing(self, useful_for: str, useless_for: str, count: int) -> pd.DataFrame:
        """Rows of the first target's table: the images that rank highest for it over their rank for the other one.

        Ranks are shares of the images that are not more useful, so that targets whose weights have another range
        compare."""
        ranks = self.means[[useful_for, useless_for]].rank(pct=True)
        difference = ranks[useful_for] - ranks[useless_for]
        order = np.argsort(-difference.to_numpy(), kind="stable")[:count]
        return self.tables[useful_for].iloc[order[difference.to_numpy()[order] > 0]]

    def shared_quarter(self, one: str, other: str) -> float:
        """Share of the quarter of the images that is most useful for one target which is so for the other one, too."""
        means, count = self.means, max(1, len(self.means) // 4)
        best = [set(np.argsort(-means[name].to_numpy(), kind="stable")[:count].tolist()) for name in (one, other)]
        return len(best[0] & best[1]) / count


def usefulness_by_target(run: RunFiles) -> UsefulnessByTarget | None:
    """The tables that the run has left so far; None where it has fewer than two."""
    names = dict.fromkeys([*(run.config.get("targets") or ()), *(run.config.get("value_for") or ())])
    paths = {str(name): RunDirectory(run.directory).usefulness(str(name)) for name in names}
    tables = {name: read_table(path, WEIGHT_COLUMNS) for name, path in paths.items() if path.is_file()}
    tables = {name: table.sort_values("index").reset_index(drop=True) for name, table in tables.items()}
    return UsefulnessByTarget(tables) if len(tables) > 1 else None


def _domains_of(table: pd.DataFrame) -> pd.Series[str]:
    if "kind" in table.columns:
        return table["kind"].astype(str)
    return table["name"].astype(str).map(lambda name: str(PurePosixPath(name).parent))
