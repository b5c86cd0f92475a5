"""All pairs of methods by Wilcoxon's signed-rank test, adjusted by Holm: the post-hoc test that needs no ranks of k."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd

from analysis.errors import OptionError, listing
from analysis.options import require_share
from analysis.score_table import score_table_without
from analysis.statistics.holm import holm
from analysis.statistics.missing import Dropped
from analysis.statistics.signed_rank import signed_rank


@dataclass(frozen=True, kw_only=True, eq=False)
class WilcoxonHolm:
    """What `wilcoxon_holm` found for each of the k(k-1)/2 pairs. Its tables are (k, k), methods as rows and columns."""

    alpha: float
    adjusted_p_values: pd.DataFrame
    """Holm's, over all pairs; symmetric, ones on the diagonal. Compare these with alpha."""
    p_values: pd.DataFrame
    """Two-sided, of each pair alone; symmetric, ones on the diagonal."""
    rank_sums: pd.DataFrame
    """Sum of the ranks of the differences over the domains on which the row's method is better than the column's."""
    num_domains: pd.DataFrame
    """Number of domains on which the two were compared; on the diagonal, the method's number of scores."""
    dropped: tuple[Dropped, ...]
    """Domains and methods that were left out for missing cells."""
    higher_is_better: bool

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods in the order of the table of scores."""
        return tuple(self.p_values.index)

    def differs(self, method: str, other: str) -> bool:
        """Return whether the two were shown to differ: their adjusted p-value is below alpha."""
        for name in (method, other):
            if name not in self.methods:
                raise OptionError(f"method: {name!r} was not compared; allowed: {listing(self.methods)}")
        pair = self.methods.index(method), self.methods.index(other)
        return bool(self.adjusted_p_values.to_numpy()[pair] < self.alpha)

    def to_dict(self) -> dict[str, Any]:
        """Return the record in JSON types, one entry a pair."""
        adjusted, raw = self.adjusted_p_values.to_numpy(), self.p_values.to_numpy()
        rank_sums, counts = self.rank_sums.to_numpy(), self.num_domains.to_numpy()
        return {
            "methods": list(self.methods),
            "alpha": self.alpha,
            "higher_is_better": self.higher_is_better,
            "dropped": [dropped.to_dict() for dropped in self.dropped],
            "pairs": [
                {
                    "methods": [self.methods[a], self.methods[b]],
                    "num_domains": int(counts[a, b]),
                    "rank_sums": [float(rank_sums[a, b]), float(rank_sums[b, a])],
                    "p_value": float(raw[a, b]),
                    "adjusted_p_value": float(adjusted[a, b]),
                }
                for a, b in combinations(range(len(self.methods)), 2)
            ],
        }


def wilcoxon_holm(
    scores: pd.DataFrame,
    *,
    higher_is_better: bool,
    alpha: float = 0.05,
    metric: str | None = None,
    missing: Literal["error", "drop domains", "drop methods", "common domains"] = "error",
) -> WilcoxonHolm:
    """Test every pair of methods by the signed ranks of its differences (`signed_rank`), adjusted for their number.

    Unlike Nemenyi's test, a pair's result does not depend on the other methods, only on their number. But differences
    of different domains are ranked against each other, so their sizes must be comparable. With N domains no p-value
    falls below 2^(1-N): few domains and many methods can show nothing.

    Args:
        scores: wide or long, as for `compare`; seeds are averaged within a domain first.
        higher_is_better: the direction.
        alpha: level of the tests together, in (0, 1).
        metric: which metric of a long table; None where it holds exactly one.
        missing: as for `compare`; or "common domains", each pair on the domains on which both have a score. A pair
            without any has the p-value 1.

    Raises:
        AnalysisInputError: one of its subclasses, as for `compare`.
    """
    require_share("alpha", alpha)
    allowed = ("error", "drop domains", "drop methods", "common domains")
    if missing not in allowed:
        raise OptionError(f"missing: {missing!r}; allowed: {listing(map(repr, allowed))}")
    policy = "skillings-mack" if missing == "common domains" else missing
    table, dropped = score_table_without(scores, higher_is_better=higher_is_better, metric=metric, missing=policy)
    values = table.to_numpy() * (1 if higher_is_better else -1)
    k = values.shape[1]
    present = ~np.isnan(values)
    p_values, rank_sums, adjusted = np.ones((k, k)), np.zeros((k, k)), np.ones((k, k))
    first, second = np.triu_indices(k, 1)
    for a, b in zip(first, second, strict=True):
        both = present[:, a] & present[:, b]
        if both.any():
            found = signed_rank(values[both, a], values[both, b])
            p_values[a, b] = p_values[b, a] = found.p_value
            rank_sums[a, b], rank_sums[b, a] = found.positive_rank_sum, found.negative_rank_sum
    adjusted[first, second] = adjusted[second, first] = holm(p_values[first, second])

    def labelled(matrix: np.ndarray[Any, Any]) -> pd.DataFrame:
        return pd.DataFrame(matrix, index=table.columns, columns=table.columns)

    return WilcoxonHolm(
        alpha=alpha,
        adjusted_p_values=labelled(adjusted),
        p_values=labelled(p_values),
        rank_sums=labelled(rank_sums),
        num_domains=labelled(present.T.astype(int) @ present.astype(int)),
        dropped=dropped,
        higher_is_better=bool(higher_is_better),
    )
