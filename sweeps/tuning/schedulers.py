"""The schedulers that may stop a trial of one's own search before its end, by name.

Population-based training (`pbt`) is left out on purpose: it changes a run's settings on the way and copies another
run's weights into it. Here a run is its settings (docs/design.md, section 5): its checkpoint refuses others, its files
say what made them, and all trials have the same budget. A schedule of settings that PBT finds belongs to no config.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bdw.config.checks import require, require_at_least
from bdw.errors import InputError
from bdw.evaluation import Measure
from sweeps.tuning import named
from sweeps.tuning.goals import MEAN_GAIN, MEAN_RANK, Goals

if TYPE_CHECKING:  # Names are known without Optuna and Ray, so that an unknown one is refused at once.
    import optuna

    from sweeps.study.early_stopping import BudgetHalving
    from sweeps.tuning.median_rule import MedianRule

MIN_GRACE = 0.01


@dataclass(frozen=True, kw_only=True)
class ASHA:
    """Asynchronous successive halving (Li et al. 2020) over shares of the budget: rungs at `grace_period`, then at
    `reduction_factor` times the one before, below the end."""

    grace_period: float = 0.5
    """Share of its budget that every trial gets. Before a half of it a method that prunes has hardly begun to spend on
    the kept images what it saved on the others."""
    reduction_factor: int = 2
    """One of this many trials goes on from rung to rung."""

    def __post_init__(self) -> None:
        _require_share(self.grace_period)
        require_at_least("reduction_factor", self.reduction_factor, 2, "at least 2")

    @property
    def rungs(self) -> tuple[float, ...]:
        """Shares of the budget at which trials are compared."""
        found = [self.grace_period]
        while found[-1] * self.reduction_factor < 1:
            found.append(found[-1] * self.reduction_factor)
        return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Median:
    """Tune's median stopping rule (Golovin et al. 2017): a trial whose best score is worse than the median of the other
    trials' mean scores so far is stopped."""

    grace_period: float = 0.5
    """Share of its budget that every trial gets."""
    min_samples_required: int = 3
    """Trials that must have come as far before any is stopped."""

    def __post_init__(self) -> None:
        _require_share(self.grace_period)
        require_at_least("min_samples_required", self.min_samples_required, 1, "at least 1")


@dataclass(frozen=True, kw_only=True)
class NoStopping:
    """Every trial uses its whole budget."""


Scheduler = ASHA | Median | NoStopping
SCHEDULERS: dict[str, type[Scheduler]] = {"asha": ASHA, "median": Median, "none": NoStopping}


def parse_scheduler(text: str | None, goals: Goals, over: str | None) -> Scheduler:
    """Of `NAME` or `NAME:PARAMETER=VALUE,...`; None for `asha` where scores on the way rank trials, otherwise `none`.

    Raises `InputError` for what cannot work.
    """
    may_stop = goals.ranks_early and over != MEAN_RANK
    if text is None:
        return ASHA() if may_stop else NoStopping()
    if text.partition(":")[0] == "pbt":
        raise InputError(
            "scheduler: 'pbt' cannot work: it changes settings within a run, and here a run has one config; allowed: "
            f"{', '.join(sorted(SCHEDULERS))}"
        )
    found: Scheduler = named.parse(text, SCHEDULERS, what="scheduler")
    if not may_stop and not isinstance(found, NoStopping):
        why = "ranks are known among whole trials alone" if over == MEAN_RANK else f"{goals} do not rank trials early"
        raise InputError(f"scheduler: {text!r} cannot work: {why}; allowed: none, or one measure in its own direction")
    return found


def make_scheduler(
    options: Scheduler, measure: Measure, study: optuna.Study, over: str | None = None
) -> BudgetHalving | MedianRule | None:
    """Tune's scheduler; None for first in, first out.

    `study`: whose earlier trials ASHA ranks newcomers against; `over`: how several targets and seeds count.
    """
    gains = MEAN_GAIN if over == MEAN_GAIN else None
    match options:
        case ASHA():
            from sweeps.runner.search import early_stopping

            return early_stopping(
                study, measure, reduction_factor=options.reduction_factor, rungs=options.rungs, gains=gains
            )
        case Median():
            from sweeps.tuning.median_rule import MedianRule

            return MedianRule(
                measure, grace_period=options.grace_period, min_samples_required=options.min_samples_required
            )
        case _:
            return None


def _require_share(value: float) -> None:
    require(MIN_GRACE <= value < 1, "grace_period", value, f"{MIN_GRACE} to 1, a share of the budget, 1 excluded")
