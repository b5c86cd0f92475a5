from __future__ import annotations

import pandas as pd

from bdw.report.sweep_warnings import num_sharing_best, sweep_warnings


def trials(scores: list[float], kept: float = 0.5, names: list[str] | None = None) -> pd.DataFrame:
    table = pd.DataFrame({"trial": names or [f"t{i}" for i in range(len(scores))], "validation_score": scores})
    return table.assign(state="complete", method="beta", instances_seen=10, wall_seconds=1.0, kept_fraction=kept)


def test_nothing_to_say() -> None:
    pruned = trials([0.5]).assign(state="pruned")
    assert sweep_warnings(pd.concat([trials([0.7, 0.8]), pruned]), {"a": 200}, stops_early=True) == []


def test_each_by_itself() -> None:
    assert sweep_warnings(trials([0.7, 0.8]), {"a": 95}) == [
        "Validation has few images (as few as 95): a single one is 1.1 points of an accuracy, so that scores close to "
        "each other say nothing."
    ]
    (few,) = sweep_warnings(trials([0.7, 0.8]), {"a": 95, "b": 120, "c": 300})
    assert few.startswith("Validation has few images on 2 of 3 domains (as few as 95)")
    (ties,) = sweep_warnings(trials([0.8, 0.7, 0.8]))
    assert ties.startswith("2 of 3 complete trials share the best validation accuracy")
    (whole,) = sweep_warnings(trials([0.7, 0.8], kept=1.0))
    assert whole.startswith("No complete trial threw any image away")
    assert sweep_warnings(trials([0.7, 0.8]), stops_early=True) == ["Early stopping stopped none of 2 trials."]


def test_what_was_not_searched_ties_with_nothing() -> None:
    table = trials([0.8, 0.7, 0.8], names=["0", "1", "comparison-0"])
    assert num_sharing_best(table) == 1
    assert num_sharing_best(table.assign(state="failed")) == 0


def test_a_ranking_that_hardly_depends_on_the_target() -> None:
    pair = trials([0.7, 0.8])
    same = {"between_targets": 0.82, "between_seeds": 0.85, "num_targets": 10}
    (told,) = sweep_warnings(pair, target_dependence=same)
    assert told.startswith(
        "The ranking of the pool hardly depends on the target: the weights for two of the 10 targets"
    )
    assert "correlate with 0.82 (Spearman), as those of two seeds on one target do (0.85)" in told
    assert sweep_warnings(pair, target_dependence={**same, "between_targets": 0.7}) == []
    alone = {"between_targets": 0.89, "between_seeds": None, "num_targets": 2}
    assert sweep_warnings(pair, target_dependence=alone) == []
    assert len(sweep_warnings(pair, target_dependence={**alone, "between_targets": 0.95})) == 1
