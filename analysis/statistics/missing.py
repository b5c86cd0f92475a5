"""What to do about (method, domain) cells without a score: refuse, drop domains, drop methods, or test with gaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd

from analysis.errors import MissingCellsError, OptionError, TooFewError, listing
from analysis.results_table import require_complete

MissingPolicy = Literal["error", "drop domains", "drop methods", "skillings-mack"]


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """A row or column of the table of scores that a comparison left out."""

    what: Literal["domain", "method"]
    name: str
    why: str

    def to_dict(self) -> dict[str, str]:
        """Return the record in JSON types."""
        return {"what": self.what, "name": self.name, "why": self.why}


def resolve_missing(wide: pd.DataFrame, missing: MissingPolicy) -> tuple[pd.DataFrame, tuple[Dropped, ...]]:
    """Apply a policy on missing cells.

    "error" allows none. "drop domains" leaves out every domain on which some method has no score, "drop methods" every
    method without a score on some domain. "skillings-mack" keeps gaps and leaves out only what cannot be ranked:
    domains with fewer than two scores, then methods without any score on the others.

    Args:
        wide: (num_domains, num_methods) floats, NaN where a score is missing.
        missing: the policy.

    Returns:
        the table, complete unless the policy is "skillings-mack", and what was dropped.

    Raises:
        OptionError: an unknown policy.
        MissingCellsError: gaps under "error"; under "skillings-mack", methods that gaps cut off from the others.
        TooFewError: fewer than two methods or two domains are left.
    """
    if missing not in get_args(MissingPolicy):
        raise OptionError(f"missing: {missing!r}; allowed: {listing(map(repr, get_args(MissingPolicy)))}")
    absent = wide.isna()
    dropped: list[Dropped] = []
    if missing == "error":
        require_complete(wide)
    elif missing == "drop domains":
        for domain, row in absent[absent.any(axis=1)].iterrows():
            dropped.append(Dropped(what="domain", name=str(domain), why=f"no score of {listing(row.index[row])}"))
        wide = wide[~absent.any(axis=1)]
    elif missing == "drop methods":
        for method, column in absent.loc[:, absent.any(axis=0)].items():
            dropped.append(Dropped(what="method", name=str(method), why=f"no score on {listing(column.index[column])}"))
        wide = wide.loc[:, ~absent.any(axis=0)]
    else:
        wide, dropped = _rankable(wide)
    for what, names in (("methods", list(wide.columns)), ("domains", list(wide.index))):
        if len(names) < 2:
            left = f" left after dropping {listing(d.name for d in dropped)}" if dropped else ""
            raise TooFewError(f"{what}: {len(names)} ({listing(names) or 'none'}){left}; allowed: at least 2")
    _require_connected(wide)
    return wide, tuple(dropped)


def _rankable(wide: pd.DataFrame) -> tuple[pd.DataFrame, list[Dropped]]:
    scores_of_domains = wide.notna().sum(axis=1)
    dropped = [
        Dropped(what="domain", name=str(domain), why="scores of fewer than 2 methods")
        for domain in wide.index[scores_of_domains < 2]
    ]
    wide = wide[scores_of_domains >= 2]
    alone = wide.isna().all(axis=0)
    dropped += [
        Dropped(what="method", name=str(method), why="no score on a domain with another method")
        for method in wide.columns[alone]
    ]
    return wide.loc[:, ~alone], dropped


def _require_connected(wide: pd.DataFrame) -> None:
    """Refuse a table that falls into groups of methods without a domain in common: nothing ranks one beside another."""
    present = wide.notna().to_numpy(dtype=bool)
    linked = np.eye(1, wide.shape[1], dtype=bool)[0]
    for _ in range(wide.shape[1]):
        domains = (present & linked).any(axis=1)
        linked = np.asarray((present & domains[:, None]).any(axis=0))
    if not linked.all():
        apart = listing(wide.columns[~linked])
        raise MissingCellsError(
            f"scores: no domain links {apart} to {listing(wide.columns[linked])}, not even through other methods; "
            "allowed: methods that can all be compared"
        )
