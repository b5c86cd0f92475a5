"""Mean ranks over targets and seeds: of all complete trials, as they are now, and for a sampler that learns from them.

A rank changes with every trial that ends, and a study keeps what it was told. So the study is told mean scores, and
ranks are computed whenever they are needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from scipy.stats import rankdata

from bdw.ray.trial_group import SCORES


def mean_ranks(trials: Sequence[FrozenTrial], *, higher_is_better: bool) -> list[float]:
    """The mean rank of every trial over its runs, 1 for the best; ties share the mean of their ranks (Demsar 2006).

    All trials must have a score for every run.
    """
    if not trials:
        return []
    scores = np.array([trial.user_attrs[SCORES] for trial in trials], dtype=np.float64)
    ranks = rankdata(-scores if higher_is_better else scores, axis=0)
    return [float(mean) for mean in ranks.mean(axis=1)]


@dataclass(frozen=True)
class RankedStudies:
    """Makes studies in memory whose complete trials have their mean rank as one of their values."""

    higher_is_better: bool
    position: int
    """Which of a trial's values the rank takes the place of."""

    def sampler(self, own: BaseSampler) -> BaseSampler:
        """The sampler, which is shown such a study in the place of the real one."""
        return _Ranked(own, self)

    def of(self, study: optuna.Study) -> optuna.Study:
        """The study with ranks; trials that run now are there, too, those that failed or were stopped are not."""
        directions = [StudyDirection.MINIMIZE if i == self.position else d for i, d in enumerate(study.directions)]
        ranked = optuna.create_study(directions=directions)
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        ranks = mean_ranks(trials, higher_is_better=self.higher_is_better)
        for trial, rank in zip(trials, ranks, strict=True):
            values = [rank if i == self.position else value for i, value in enumerate(trial.values)]
            ranked.add_trial(create_trial(values=values, params=trial.params, distributions=trial.distributions))
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            ranked.add_trial(
                create_trial(state=TrialState.RUNNING, params=trial.params, distributions=trial.distributions)
            )
        return ranked


class _Ranked(BaseSampler):
    def __init__(self, own: BaseSampler, ranked: RankedStudies) -> None:
        self._own = own
        self._ranked = ranked

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._own.infer_relative_search_space(self._ranked.of(study), trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._own.sample_relative(self._ranked.of(study), trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._own.sample_independent(self._ranked.of(study), trial, param_name, param_distribution)
