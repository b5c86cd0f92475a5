"""The samplers that a search of one's own may use, by name; all are Optuna's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bdw.config.checks import require, require_at_least
from bdw.errors import InputError
from sweeps.tuning import named
from sweeps.tuning.goals import MEAN_RANK

if TYPE_CHECKING:  # Names are known without Optuna and Ray, so that an unknown one is refused at once.
    from optuna.samplers import BaseSampler

    from sweeps.tuning.ranks import RankedStudies


@dataclass(frozen=True, kw_only=True)
class TPE:
    """Tree-structured Parzen estimators (Bergstra et al. 2011), over all fields together."""

    n_startup_trials: int = 10
    """Trials that are drawn at random before it begins to learn."""
    n_ei_candidates: int = 24
    """Candidates for every proposal."""

    def __post_init__(self) -> None:
        for name in ("n_startup_trials", "n_ei_candidates"):
            require_at_least(name, getattr(self, name), 1, "at least 1")


@dataclass(frozen=True, kw_only=True)
class NSGA2:
    """NSGA-II (Deb et al. 2002), for several objectives and some hundred trials."""

    population_size: int | None = None
    """Trials of a generation; the first one is drawn at random. Default: a fifth of the trials, 4 to 50."""
    mutation_prob: float | None = None
    """Probability that a field of a child is drawn anew. Default: 1 / number of fields."""
    crossover_prob: float = 0.9
    """Probability that a child has two parents."""

    def __post_init__(self) -> None:
        require_at_least("population_size", self.population_size, 2, "at least 2")
        for name in ("mutation_prob", "crossover_prob"):
            value = getattr(self, name)
            require(value is None or 0 <= value <= 1, name, value, "0 to 1")


@dataclass(frozen=True, kw_only=True)
class Random:
    """Every field at random, by itself."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """All points of the space in order, or as many as there are trials."""


Sampler = TPE | NSGA2 | Random | Grid
SAMPLERS: dict[str, type[Sampler]] = {"tpe": TPE, "nsga2": NSGA2, "random": Random, "grid": Grid}


def parse_sampler(text: str, *, over: str | None = None) -> Sampler:
    """Of `NAME` or `NAME:PARAMETER=VALUE,...`; `over`: how several targets and seeds count.

    Raises `InputError` for what cannot work.
    """
    found: Sampler = named.parse(text, SAMPLERS, what="sampler")
    if over == MEAN_RANK and isinstance(found, NSGA2):
        raise InputError(
            "sampler: 'nsga2' cannot work with mean_rank, since it remembers its parents' values and ranks change with "
            "every trial; allowed: tpe, random, grid"
        )
    return found


def make_sampler(options: Sampler, *, seed: int, num_trials: int, ranked: RankedStudies | None) -> BaseSampler:
    """Optuna's sampler, which draws the same after a kill. A grid's points are queued, so its sampler draws nothing.

    `ranked`: shows TPE the trials by their mean ranks as they are now.
    """
    from optuna.samplers import NSGAIISampler, RandomSampler

    from sweeps.study.sampler import Repeatable, tpe

    make: Callable[[int], BaseSampler]
    match options:
        case TPE(n_startup_trials=startup, n_ei_candidates=candidates):

            def make(own: int) -> BaseSampler:
                return tpe(own, n_startup_trials=startup, n_ei_candidates=candidates)

        case NSGA2():
            size = options.population_size or min(50, max(4, num_trials // 5))

            def make(own: int) -> BaseSampler:
                return NSGAIISampler(
                    seed=own,
                    population_size=size,
                    mutation_prob=options.mutation_prob,
                    crossover_prob=options.crossover_prob,
                )

        case _:

            def make(own: int) -> BaseSampler:
                return RandomSampler(seed=own)

    if ranked is not None and isinstance(options, TPE):
        return Repeatable(seed, lambda own: ranked.sampler(make(own)))
    return Repeatable(seed, make)
