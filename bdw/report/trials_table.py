"""The trials of a sweep: which is best, how many ended how, and the table that a reader scans."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from bdw import evaluation
from bdw.evaluation import Measure
from bdw.report.page import Table
from bdw.report.table_files import column
from bdw.report.wording import UNKNOWN, count, number, percent, ratio, seconds

REQUIRED = ("trial", "state", "method", "validation_score", "wall_seconds", "instances_seen", "kept_fraction")
STATES = ("complete", "pruned", "failed", "running")
RANKED_BY = "validation"
NO_METHOD = "unknown"
COMPARISON_PREFIX = "comparison-"
"""Beginning of the names of trials that stand in the table for comparison and are not part of the search."""

# Column of the file -> (heading, how its numbers read). What is not listed here or a score is a searched parameter.
_COSTS: dict[str, tuple[str, Callable[[float], str]]] = {
    "wall_seconds": ("time", seconds),
    "instances_seen": ("instances seen", count),
    "target_instances_seen": ("target images seen", count),
    "kept_fraction": ("kept", percent),
    "planted_auroc": ("AUROC", ratio),
    "epoch": ("epochs", count),
}
_TEXTS = ("trial", "state", "method", "domain", "seed")
_LAST = ("reason",)
CHOSEN = "chosen"
"""Column that is 1 for the trial that a search with several objectives took for its best, 0 for its others."""
_NOT_SHOWN = ("run", "value", "git_revision", "measure", CHOSEN)


def measure_of(trials: pd.DataFrame) -> Measure:
    """What the trials' scores are; accuracy where the file does not say."""
    named = trials["measure"].dropna() if "measure" in trials.columns else trials["trial"].iloc[:0]
    return evaluation.measure("accuracy" if named.empty else str(named.iloc[0]))


def _measured(trials: pd.DataFrame) -> dict[str, tuple[str, Callable[[float], str]]]:
    shown = measure_of(trials).shown
    return {"validation_score": (RANKED_BY, shown), "test_score": ("test", shown), **_COSTS}


def methods_of(trials: pd.DataFrame) -> pd.Series[str]:
    """Every trial's method; `unknown` where the file has none: a trial may end before it has any label."""
    methods = trials["method"].astype(object)
    return methods.where(methods.notna() & (methods != ""), NO_METHOD).astype(str)


def ranked(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials by state (complete ones first), then by validation score, best first, unknown last.

    A validation split is small, so that trials often tie. Ties go to the trial that saw the fewest instances, then to
    the first in the file, which a sweep writes by number. The sweep itself chooses by the same rule.
    """
    known = {state: position for position, state in enumerate(STATES)}
    keys = trials.assign(
        _state=trials["state"].map(lambda state: known.get(str(state), len(STATES))),
        _score=column(trials, "validation_score") * (-1 if measure_of(trials).higher_is_better else 1),
        _instances=column(trials, "instances_seen"),
    )
    order = ["_state", "_score", "_instances"]
    return keys.sort_values(order, kind="stable").drop(columns=order)


def best_trial(trials: pd.DataFrame) -> pd.DataFrame | None:
    """The row of the complete trial that ranks first (see `ranked`); None if none has a validation score.

    Where the sweep itself chose one, by several objectives, it is that one.

    None too if the trials are for several target domains, whose scores are not comparable. The test split plays no
    part: choosing by it would make the best look better than it is. Beside a search, only its own trials can be the
    best one, as for the sweep itself.
    """
    if has_several_domains(trials):
        return None
    own = searched(trials)
    rows = ranked(own[(own["state"] == "complete") & column(own, "validation_score").notna()])
    if is_chosen_by_several_objectives(rows):
        rows = rows[column(rows, CHOSEN) == 1]
    return None if rows.empty else rows.head(1)


def is_chosen_by_several_objectives(trials: pd.DataFrame) -> bool:
    """Whether the search itself chose one of these trials, by more than the validation score."""
    return bool((column(trials, CHOSEN) == 1).any())


def searched(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials of the search; all trials if none, or every one, stands in the table for comparison only."""
    own = trials[~trials["trial"].astype(str).str.startswith(COMPARISON_PREFIX)]
    return trials if own.empty else own


def has_several_domains(trials: pd.DataFrame) -> bool:
    """Whether the trials are for different targets."""
    return "domain" in trials.columns and trials["domain"].dropna().nunique() > 1


def state_counts(trials: pd.DataFrame) -> dict[str, int]:
    """Number of trials by state: complete, pruned, failed, running, then anything else; absent ones are left out."""
    counts = trials["state"].astype(str).value_counts()
    order = [state for state in STATES if state in counts.index]
    order += sorted(set(map(str, counts.index)) - set(STATES))
    return {state: int(counts[state]) for state in order}


def trials_table(trials: pd.DataFrame) -> Table:
    """All trials, ranked, the best highlighted; columns without a single entry are left out."""
    rows, best, formats = ranked(trials), best_trial(trials), _measured(trials)
    filled = [str(name) for name in trials.columns if trials[name].notna().any()]
    texts = [name for name in _TEXTS if name in filled]
    measured = [name for name in formats if column(trials, name).notna().any()]
    parameters = [name for name in filled if name not in (*formats, *_TEXTS, *_LAST, *_NOT_SHOWN)]
    others = [*parameters, *(name for name in _LAST if name in filled)]
    cells = {name: [_text(value) for value in rows[name]] for name in (*texts, *others)}
    for name in measured:
        cells[name] = [formats[name][1](value) for value in column(rows, name)]
    names = [*texts, *measured, *others]
    headings = {name: formats[name][0] if name in measured else name for name in names}
    return Table(
        tuple(headings.values()),
        tuple(zip(*(cells[name] for name in names), strict=True)),
        numeric=frozenset(headings[name] for name in names if pd.api.types.is_numeric_dtype(trials[name])) - {"trial"},
        best=None if best is None else rows.index.tolist().index(best.index[0]),
        sorted_by=RANKED_BY,
    )


def methods_table(trials: pd.DataFrame) -> Table:
    """One row a method: its trials, and the measurements of its best complete trial (by validation score)."""
    headings = ("method", "trials", "validation", "test", "time", "instances seen", "kept")
    rows, formats = [], _measured(trials)
    methods = methods_of(trials)
    for method in sorted(set(methods)):
        own = trials[methods == method]
        best = best_trial(own)
        chosen = ["validation_score", "test_score", "wall_seconds", "instances_seen", "kept_fraction"]
        values = [column(best, name).iloc[0] if best is not None else float("nan") for name in chosen]
        formatted = [formats[name][1](value) for name, value in zip(chosen, values, strict=True)]
        rows.append((method, f"{len(own):,}", *formatted))
    return Table(headings, tuple(rows), numeric=frozenset(headings[1:]))


def _text(value: object) -> str:
    if isinstance(value, float):
        return number(value)
    return UNKNOWN if value is None or value is pd.NA else str(value)
