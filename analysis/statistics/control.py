"""Several methods against one control: Bonferroni-Dunn's critical difference and Holm's sharper p-values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from analysis.errors import OptionError, TooFewError, listing
from analysis.statistics.comparison import Comparison, require_critical_difference
from analysis.statistics.holm import holm
from analysis.statistics.nemenyi import rank_standard_error


@dataclass(frozen=True, kw_only=True, eq=False)
class ControlComparison:
    """What k-1 methods against a control showed. Made by `compare_with_control`."""

    control: str
    comparison: Comparison
    """The comparison that it was made from: ranks, number of domains, level, whether the methods differ at all."""
    critical_difference: float
    """Bonferroni-Dunn's, in ranks; smaller than Nemenyi's, which serves all pairs."""
    z_values: pd.Series[float]
    """(k-1,) by method, best first: its average rank less the control's in standard errors; negative if better."""
    p_values: pd.Series[float]
    """(k-1,) two-sided, each method alone."""
    bonferroni_p_values: pd.Series[float]
    """(k-1,) times k-1, at most 1: below alpha where the ranks are further apart than the critical difference."""
    holm_p_values: pd.Series[float]
    """(k-1,) step-down: never above Bonferroni's, with the same guarantee."""

    @property
    def others(self) -> tuple[str, ...]:
        """Names of the methods but the control, best first."""
        return tuple(self.z_values.index)

    def differs(self, method: str, *, adjustment: Literal["bonferroni", "holm"] = "bonferroni") -> bool:
        """Return whether a method was shown to differ from the control.

        Args:
            method: one of `others`.
            adjustment: "bonferroni" is what the critical difference and its diagram show; "holm" may find more.

        Raises:
            OptionError: another method or adjustment.
        """
        if method not in self.others:
            raise OptionError(f"method: {method!r} was not compared; allowed: {listing(self.others)}")
        if adjustment not in ("bonferroni", "holm"):
            raise OptionError(f"adjustment: {adjustment!r}; allowed: 'bonferroni', 'holm'")
        if not self.comparison.is_significant:
            return False
        if adjustment == "holm":
            return bool(self.holm_p_values[method] < self.comparison.alpha)
        ranks = self.comparison.average_ranks
        return bool(abs(ranks[method] - ranks[self.control]) >= self.critical_difference)

    def to_dict(self) -> dict[str, Any]:
        """Return the record in JSON types, one entry a method."""
        columns = (self.z_values, self.p_values, self.bonferroni_p_values, self.holm_p_values)
        names = ("z", "p_value", "bonferroni_p_value", "holm_p_value")
        return {
            "control": self.control,
            "critical_difference": self.critical_difference,
            "alpha": self.comparison.alpha,
            "is_significant": self.comparison.is_significant,
            "methods": {
                method: dict(zip(names, values, strict=True))
                for method, *values in zip(self.others, *(column.tolist() for column in columns), strict=True)
            },
        }


def compare_with_control(comparison: Comparison, control: str) -> ControlComparison:
    """Compare every method with one control only, after Demsar 2006, section 3.2.2.

    A comparison with one method tests k-1 pairs instead of k(k-1)/2, and so finds smaller differences. Each pair has z
    = (R_i - R_control) / sqrt(k(k+1)/(6N)); Bonferroni-Dunn takes the two-sided quantile at alpha/(k-1).

    The control must be chosen before the results are seen: taking the best method as control afterwards is the
    comparison of all pairs in disguise.

    Args:
        comparison: from `compare` or `compare_ranks`, of at least three methods, without gaps.
        control: name of the control.

    Raises:
        OptionError: the control was not compared.
        TooFewError: two methods, of which there is only one pair.
        NoCriticalDifferenceError: the scores have gaps.
    """
    if control not in comparison.methods:
        raise OptionError(f"control: {control!r} was not compared; allowed: {listing(comparison.methods)}")
    if comparison.num_methods < 3:
        raise TooFewError("methods: 2; allowed: at least 3, as two make one pair, which `compare` has tested")
    require_critical_difference(comparison)
    num_others = comparison.num_methods - 1
    error = rank_standard_error(comparison.num_methods, comparison.num_domains)
    ranks = comparison.average_ranks
    z_values = (ranks.drop(control) - ranks[control]) / error
    p_values = 2 * stats.norm.sf(np.abs(z_values.to_numpy()))

    def by_method(values: np.ndarray[Any, Any], name: str) -> pd.Series[float]:
        return pd.Series(values, index=z_values.index, name=name)

    return ControlComparison(
        control=control,
        comparison=comparison,
        critical_difference=bonferroni_dunn_critical_difference(
            comparison.num_methods, comparison.num_domains, comparison.alpha
        ),
        z_values=z_values.rename("z"),
        p_values=by_method(p_values, "p_value"),
        bonferroni_p_values=by_method(np.minimum(1.0, num_others * p_values), "bonferroni_p_value"),
        holm_p_values=by_method(holm(p_values), "holm_p_value"),
    )


def bonferroni_dunn_critical_difference(num_methods: int, num_domains: int, alpha: float = 0.05) -> float:
    """Return the critical difference of average ranks to a control's.

    CD = z sqrt(k(k+1)/(6N)), z the two-sided normal quantile at alpha/(k-1) (Demsar 2006, Table 5b lists it).
    """
    quantile = float(stats.norm.isf(alpha / (num_methods - 1) / 2))
    return quantile * rank_standard_error(num_methods, num_domains)
