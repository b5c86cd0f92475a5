"""A sweep's trials in a few words and numbers: which methods, what the best one reached, what all of them cost."""

from __future__ import annotations

import pandas as pd

from bdw.report.page import Headline
from bdw.report.sweep_cost import SweepCost
from bdw.report.sweep_warnings import num_sharing_best
from bdw.report.table_files import column
from bdw.report.trials_table import (
    NO_METHOD,
    best_trial,
    is_chosen_by_several_objectives,
    measure_of,
    methods_of,
    searched,
    state_counts,
)
from bdw.report.wording import count, percent, plural, seconds


def summary(trials: pd.DataFrame) -> str:
    """One line: how many trials of which methods."""
    methods = methods_of(trials)
    known = sorted(set(methods) - {NO_METHOD})
    named = f"{plural(len(known), 'method')}: {', '.join(known)}" if known else "unknown methods"
    num_unknown = int((methods == NO_METHOD).sum()) if known else 0
    unknown = f" The method of {plural(num_unknown, 'trial')} is unknown." if num_unknown else ""
    return f"{plural(len(trials), 'trial')} of {named}.{unknown}"


def headlines(trials: pd.DataFrame) -> list[Headline]:
    """What the best trial reached and kept, if there is one, and what all of them cost."""
    found: list[Headline] = []
    best, measure = best_trial(trials), measure_of(trials)
    if best is not None:
        which = ", the best of the search" if len(searched(trials)) < len(trials) else ""
        score = measure.shown(value_of(best, "validation_score"))
        heading = "Validation" if is_chosen_by_several_objectives(trials) else "Best validation"
        found.append(Headline(f"{heading} {measure.label}", score, f"trial {name_of(best)}{which}"))
        if column(best, "test_score").notna().all():
            score = measure.shown(value_of(best, "test_score"))
            found.append(Headline(f"Its test {measure.label}", score, methods_of(best).iloc[0]))
        found.append(Headline("Images it kept", percent(value_of(best, "kept_fraction")), "of the source at the end"))
    return [*found, *cost_headlines(trials)]


def cost_headlines(trials: pd.DataFrame, *, images: bool = True) -> list[Headline]:
    """How many trials ended how, their time, the hours that they reserved, and the images that they saw if wanted."""
    found: list[Headline] = []
    states = state_counts(trials)
    found.append(
        Headline("Trials", f"{len(trials):,}", ", ".join(f"{number_of} {state}" for state, number_of in states.items()))
    )
    found.append(Headline("Time", seconds(column(trials, "wall_seconds").sum()), "over the trials listed"))
    cost = SweepCost.of(trials)
    if cost.gpu_hours > 0:
        found.append(Headline("GPU-hours", f"{cost.gpu_hours:.2f}", "reserved while the trials trained"))
    elif cost.cpu_hours > 0:
        found.append(Headline("CPU-hours", f"{cost.cpu_hours:.2f}", "reserved while the trials trained"))
    if images:
        found.append(Headline("Instances seen", count(cost.instances), "source images, over the trials listed"))
    return found


def states_sentence(trials: pd.DataFrame) -> str:
    """How many trials ended how and at what cost, and which row of their table is highlighted."""
    parts = []
    for state, number_of in state_counts(trials).items():
        own = trials[trials["state"].astype(str) == state]
        cost = f"{seconds(column(own, 'wall_seconds').sum())}, {count(column(own, 'instances_seen').sum())} instances"
        parts.append(f"{number_of:,} {state} ({cost})")
    return f"Trials by how they ended, with their cost: {'; '.join(parts)}. {_highlight_sentence(trials)}".strip()


def _highlight_sentence(trials: pd.DataFrame) -> str:
    if best_trial(trials) is None:
        return ""
    num_equal = num_sharing_best(trials)
    label = measure_of(trials).label
    which = " of the search" if len(searched(trials)) < len(trials) else ""
    if is_chosen_by_several_objectives(trials):
        return (
            "The search had several objectives; the complete trial that is nearest to the ideal point of their Pareto "
            "front is highlighted."
        )
    if num_equal > 1:
        return (
            f"{num_equal:,} complete trials{which} share the best validation {label}; the one of them that saw the "
            "fewest instances is highlighted, the first if several did."
        )
    return f"The best complete trial{which} by validation {label} is highlighted."


def name_of(best: pd.DataFrame) -> str:
    """The name of a table's only trial."""
    return str(best["trial"].iloc[0])


def value_of(row: pd.DataFrame, name: str) -> float:
    """A number of a table's only trial."""
    return float(column(row, name).iloc[0])
