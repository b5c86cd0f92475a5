"""What a reader must keep in mind before relying on a sweep's numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bdw.report.table_files import column
from bdw.report.trials_table import best_trial, measure_of, searched
from bdw.report.wording import plural

FEW_IMAGES = 200
"""With fewer, an accuracy near 80 % has a standard error of 2.8 points or more: sqrt(0.8 * 0.2 / 200)."""

NOISE_OF_RANKS = 0.05
"""Rankings for two targets are taken to be one where their correlation is below that of two seeds by no more."""
ONE_RANKING = 0.9
"""Without a second seed: the correlation from which on they are."""


def sweep_warnings(
    trials: pd.DataFrame,
    validation_images: Mapping[str, int] | None = None,
    *,
    stops_early: bool = False,
    target_dependence: Mapping[str, Any] | None = None,
) -> list[str]:
    """Sentences on what weakens a sweep, in this order; empty if nothing of it applies.

    Args:
        trials: trials.csv.
        validation_images: target domain -> images that validation scores are measured on, if known.
        stops_early: whether trials were to be stopped early if they did badly.
        target_dependence: rank correlations `between_targets` and `between_seeds` (may be None), and `num_targets`.

    Returns:
        few validation images; a ranking that hardly depends on the target; trials that share the best validation
        score; no image thrown away; no trial stopped.
    """
    return [
        sentence
        for sentence in (
            _few_images(validation_images or {}),
            "" if target_dependence is None else _same_for_all(**target_dependence),
            _ties(trials),
            _nothing_pruned(trials),
            _nothing_stopped(trials) if stops_early else "",
        )
        if sentence
    ]


def num_sharing_best(trials: pd.DataFrame) -> int:
    """How many complete trials have the best validation score; 0 if there is no best trial."""
    best = best_trial(trials)
    if best is None:
        return 0
    own = searched(trials)
    scores = column(own[own["state"] == "complete"], "validation_score")
    return int((scores == float(column(best, "validation_score").iloc[0])).sum())


def _few_images(validation_images: Mapping[str, int]) -> str:
    few = {domain: count for domain, count in validation_images.items() if count < FEW_IMAGES}
    if not few:
        return ""
    fewest = min(few.values())
    where = "" if len(validation_images) == 1 else f" on {len(few)} of {len(validation_images)} domains"
    return (
        f"Validation has few images{where} (as few as {fewest:,}): a single one is {100 / fewest:.1f} points of an "
        "accuracy, so that scores close to each other say nothing."
    )


def _same_for_all(between_targets: float, between_seeds: float | None, num_targets: int) -> str:
    if between_targets < (ONE_RANKING if between_seeds is None else between_seeds - NOISE_OF_RANKS):
        return ""
    noise = "" if between_seeds is None else f", as those of two seeds on one target do ({between_seeds:.2f})"
    return (
        f"The ranking of the pool hardly depends on the target: the weights for two of the {num_targets} targets "
        f"correlate with {between_targets:.2f} (Spearman){noise}. One run's kept images would have served all of them."
    )


def _ties(trials: pd.DataFrame) -> str:
    sharing = num_sharing_best(trials)
    if sharing < 2:
        return ""
    complete = int((searched(trials)["state"] == "complete").sum())
    label = measure_of(trials).label
    return (
        f"{sharing:,} of {plural(complete, 'complete trial')} share the best validation {label}: validation cannot "
        "tell them apart, and the one that saw the fewest images is called the best."
    )


def _nothing_pruned(trials: pd.DataFrame) -> str:
    kept = column(trials[trials["state"] == "complete"], "kept_fraction").dropna()
    if kept.empty or (kept < 1).any():
        return ""
    return "No complete trial threw any image away, so that pruning saved nothing here."


def _nothing_stopped(trials: pd.DataFrame) -> str:
    own = searched(trials)
    if len(own) < 2 or (own["state"] == "pruned").any():
        return ""
    return f"Early stopping stopped none of {plural(len(own), 'trial')}."
