"""Trials of other revisions of the code: a sweep that continues keeps them, and has to say so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from optuna.trial import FrozenTrial

LABEL = "git_revision"
"""User attribute of a trial: the commit of the code that ran it."""
LENGTH = 12
"""Characters of a commit's name that are shown, besides `-dirty`."""


def other_revisions(kept: Iterable[FrozenTrial], revision: str | None) -> str | None:
    """One line about those trials that other revisions ran, in whole or in part; None if there are none.

    `kept` are the trials that are not run anew. Trials whose revision is unknown say nothing, nor does an unknown
    `revision`.
    """
    counts = Counter(trial.user_attrs.get(LABEL) for trial in kept)
    others = {str(of): number for of, number in counts.items() if of not in (None, revision)}
    if revision is None or not others:
        return None
    told = ", ".join(f"{number} of revision {_short(of)}" for of, number in sorted(others.items()))
    return (
        f"warning: trials of other code are not run anew: {told}; this is {_short(revision)}. Another --name runs all"
    )


def _short(revision: str) -> str:
    commit, mark, _ = revision.partition("-dirty")
    return commit[:LENGTH] + mark
