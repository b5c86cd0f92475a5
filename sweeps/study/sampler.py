"""Proposals by Optuna's samplers; draws depend on the study and a seed, not on how often a sweep was started."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

CONTINUES = "continues"
"""User attribute of a trial that was queued to finish another one's work: the other trial's number."""


class Repeatable(BaseSampler):
    """A new sampler for every trial, seeded with how many trials before it were drawn rather than queued.

    After a kill, a sampler that lives as long as its driver would repeat its first draws or go on with others. This
    sampler draws what it would have drawn without the kill: a trial that is queued again takes the killed trial's place
    and gets the same parameters. With several trials side by side the order of their ends matters, so this holds for
    one trial at a time.

    Args:
        seed: Of all draws.
        make: Makes the sampler with a seed; all that it knows of earlier trials must be in the study.
    """

    def __init__(self, seed: int, make: Callable[[int], BaseSampler]) -> None:
        self._seed = seed
        self._make = make
        self._drawn = 0
        self._own = self._new()

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Called by Optuna before anything is drawn for a trial."""
        trials = study.get_trials(deepcopy=False)
        first = trial
        while CONTINUES in first.user_attrs:
            first = trials[first.user_attrs[CONTINUES]]
        self._drawn = sum("fixed_params" not in earlier.system_attrs for earlier in trials[: first.number])
        self._own = self._new()
        self._own.before_trial(study, trial)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """As the sampler has it."""
        return self._own.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As the sampler has it."""
        return self._own.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """As the sampler has it; what a killed trial had drawn already does not change what is drawn after it."""
        return self._new(param_name).sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """As the sampler has it."""
        self._own.after_trial(study, trial, state, values)

    def _new(self, what: str = "") -> BaseSampler:
        entropy = [self._seed, self._drawn, *what.encode()]
        return self._make(int(np.random.SeedSequence(entropy).generate_state(1)[0]))


class RepeatableTPE(Repeatable):
    """TPE (Bergstra et al. 2011) that goes on after a kill as if there had been none."""

    def __init__(self, seed: int, **parameters: Any) -> None:
        super().__init__(seed, lambda own: tpe(own, **parameters))


def tpe(seed: int, **parameters: Any) -> TPESampler:
    """TPE over all parameters together, for trials side by side; `parameters` are further ones of Optuna's class."""
    with warnings.catch_warnings():
        # Multivariate and group have been "experimental" since Optuna 2; a test of ours would see them change.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return TPESampler(
            seed=seed,
            multivariate=True,
            group=True,
            constant_liar=True,  # Trials that run now count as bad, so that parallel proposals keep their distance.
            **parameters,
        )
