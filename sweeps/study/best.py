"""The best of a study's complete trials, for one objective or for several."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from bdw.evaluation import Measure
from sweeps.study.objective import SCORE


def best_of(trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> FrozenTrial | None:
    """The best of complete trials; None if there is none.

    With one objective the best value decides. A validation split is small, so that trials often tie. Ties go to the
    trial that saw the fewest images, then to the lowest number; the report ranks by the same rule
    (`bdw.report.trials_table.ranked`).

    With several objectives every one counts: the best is the trial of the Pareto front that is nearest to the ideal
    point, which has the front's best value in each objective. Distances are Euclidean, after each objective was scaled
    to [0, 1] over the front (compromise programming; Zeleny, "Multiple Criteria Decision Making", 1982). Ties go to the
    better first objective, then as above.
    """
    if not trials:
        return None
    signs = [1.0 if direction == StudyDirection.MINIMIZE else -1.0 for direction in directions]
    losses = np.array(signs) * np.array([cast("list[float]", trial.values) for trial in trials], dtype=float)
    distances = np.zeros(len(trials))
    if len(directions) > 1:
        distances = _distances_to_the_ideal(losses)
    keys = [
        (distances[i], losses[i, 0], trial.user_attrs.get("instances_seen", math.inf), trial.number)
        for i, trial in enumerate(trials)
    ]
    return trials[min(range(len(trials)), key=keys.__getitem__)]


def best_score(trials: Iterable[FrozenTrial], measure: Measure) -> float:
    """The best validation score of trials that have ended, stopped ones too; NaN if none has one."""
    best = math.nan
    for trial in trials:
        score = trial.user_attrs.get(SCORE, math.nan)
        best = score if measure.better(score, best) else best
    return best


def _distances_to_the_ideal(losses: np.ndarray) -> np.ndarray:
    """Distance of each row from the ideal point; infinite for rows that another one dominates. All are minimised."""
    no_worse = (losses[:, None, :] <= losses[None, :, :]).all(axis=2)
    better = (losses[:, None, :] < losses[None, :, :]).any(axis=2)
    on_front = ~(no_worse & better).any(axis=0)
    ideal = losses[on_front].min(axis=0)
    spread = losses[on_front].max(axis=0) - ideal
    scaled = (losses - ideal) / np.where(spread > 0, spread, 1.0)
    return np.where(on_front, np.linalg.norm(scaled, axis=1), math.inf)
