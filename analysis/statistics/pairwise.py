"""Every pair of methods in numbers: the multi-comparison matrix of Ismail-Fawaz et al. 2023 (arXiv 2305.11921).

What it says of two methods depends on these two alone, not on which others are in the table, as ranks do; but for the
correction of p-values, which depends on how many pairs are tested.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.errors import OptionError, listing, shown
from analysis.options import require_share
from analysis.rounding import mean_of
from analysis.score_table import score_table
from analysis.statistics.holm import holm
from analysis.statistics.signed_rank import signed_rank

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class PairwiseComparison:
    """What `compare_pairs` found. In all tables a row is compared with a column."""

    mean_scores: pd.Series[float]
    """(k,) by method, best first, by name where they tie."""
    mean_differences: pd.DataFrame
    """Mean over domains of row minus column, in the unit of the scores."""
    wins: pd.DataFrame
    """Number of domains on which the row is better."""
    ties: pd.DataFrame
    losses: pd.DataFrame
    p_values: pd.DataFrame
    """Two-sided Wilcoxon signed-rank tests over the domains, each pair by itself: not corrected for their number. 1 for
    a method against itself."""
    adjusted_p_values: pd.DataFrame
    """The same, corrected by Holm for the number of pairs of the table."""
    spread: float
    """Standard deviation over domains of a pair's differences, in the scores' unit: root mean square over pairs."""
    num_domains: int
    alpha: float
    against: str | None
    """The control, the only column; None where all are compared with all."""
    higher_is_better: bool

    @property
    def differs(self) -> pd.DataFrame:
        """Whether the corrected p is below alpha."""
        return self.adjusted_p_values < self.alpha

    @property
    def num_pairs(self) -> int:
        """How many pairs are tested, for which p-values are corrected."""
        rows, columns = self.p_values.shape
        return rows * (columns - 1) // 2 if self.against is None else rows


def compare_pairs(
    scores: pd.DataFrame,
    *,
    higher_is_better: bool,
    metric: str | None = None,
    alpha: float = 0.05,
    against: str | None = None,
) -> PairwiseComparison:
    """Compare every two methods, or all with one.

    Args:
        scores: wide table (index = domains, columns = methods) or long results table, as for `compare`.
        higher_is_better: direction of the scores.
        metric: which metric of a long table; None where it holds exactly one.
        alpha: level of all tests together, in (0, 1).
        against: the method to compare all others with.

    Returns:
        a `PairwiseComparison`; its tables are (k, k), or (k - 1, 1) with `against`.

    Raises:
        AnalysisInputError: as `compare`; OptionError for an unknown control or a level outside (0, 1).
    """
    require_share("alpha", alpha)
    table = score_table(scores, higher_is_better=higher_is_better, metric=metric)
    if against is not None and against not in table.columns:
        raise OptionError(f"against: {shown(against)} is not a method; allowed: {listing(table.columns)}")
    sign = 1 if higher_is_better else -1
    means = {method: mean_of(table[method].tolist()) for method in table.columns}
    methods = sorted(means, key=lambda method: (-sign * means[method], method))
    rows = [method for method in methods if method != against]
    columns = methods if against is None else [against]

    differences = table[rows].to_numpy()[:, :, None] - table[columns].to_numpy()[:, None, :]

    def frame(values: npt.NDArray[np.generic]) -> pd.DataFrame:
        return pd.DataFrame(values, index=pd.Index(rows, dtype=object), columns=pd.Index(columns, dtype=object))

    raw, adjusted = _p_values(table, rows, columns)
    is_pair = np.array([[row != column for column in columns] for row in rows])
    # In units of the largest one: squares of very large or very small differences are no floats.
    unit = float(np.abs(differences).max()) or 1.0
    variances = (differences / unit).var(axis=0, ddof=1)[is_pair]
    return PairwiseComparison(
        mean_scores=pd.Series([means[method] for method in methods], index=pd.Index(methods, dtype=object)),
        mean_differences=frame(differences.mean(axis=0)),
        wins=frame((sign * differences > 0).sum(axis=0)),
        ties=frame((differences == 0).sum(axis=0)),
        losses=frame((sign * differences < 0).sum(axis=0)),
        p_values=frame(raw),
        adjusted_p_values=frame(adjusted),
        spread=unit * float(np.sqrt(variances.mean())),
        num_domains=len(table),
        alpha=float(alpha),
        against=against,
        higher_is_better=bool(higher_is_better),
    )


def _p_values(table: pd.DataFrame, rows: list[str], columns: list[str]) -> tuple[Floats, Floats]:
    """Raw, and corrected by Holm over the pairs, each of which is tested once."""
    pairs = list(dict.fromkeys((min(row, column), max(row, column)) for row in rows for column in columns))
    pairs = [(a, b) for a, b in pairs if a != b]
    raw = [signed_rank(table[a], table[b]).p_value for a, b in pairs]

    def grid(values: list[float]) -> Floats:
        found = dict(zip(pairs, values, strict=True))
        return np.array([[found.get((min(a, b), max(a, b)), 1.0) for b in columns] for a in rows])

    return grid(raw), grid(holm(raw).tolist())
