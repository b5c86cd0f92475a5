"""What is known about the source's images (useful, planted junk, of another domain), and how well the weights tell them
apart.

`planted` holds 1 for a useful image, 0 for planted junk and -1 where nobody knows; the method never sees it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from bdw.evaluation.planted_auroc import planted_auroc

USEFUL, JUNK = 1, 0


@dataclass(frozen=True)
class Words:
    """How a page calls the two sorts of images."""

    section: str
    useful: str
    other: str
    others: str
    """The other images in the plural, after a number."""


PLANTED = Words("Planted junk", "useful", "junk", "planted junk images")
DOMAINS = Words("Domains of the source", "target", "other", "images of other domains")


def words(weights: pd.DataFrame, target: str) -> Words:
    """The names for a mixture that the target is a member of, or for planted junk."""
    own_domain = bool(target) and "kind" in weights.columns and bool((weights["kind"] == target).any())
    return DOMAINS if own_domain else PLANTED


@dataclass(frozen=True)
class Separation:
    """How well mean weights order useful before junk: the AUROC and the number of images of both sorts behind it."""

    auroc: float
    num_useful: int
    num_junk: int


def separation(mean_weights: npt.ArrayLike, planted: npt.ArrayLike) -> Separation | None:
    """The AUROC of mean weights (n,) against what was planted (n,), with its numbers of images.

    None where there is nothing to rank: images of one sort only, or equal weights. Unknown images are ignored.
    """
    sorts = np.asarray(planted, dtype=np.int8)
    auroc = planted_auroc(np.asarray(mean_weights, dtype=np.float64), sorts)
    if math.isnan(auroc):
        return None
    return Separation(auroc, int((sorts == USEFUL).sum()), int((sorts == JUNK).sum()))


def groups(weights: pd.DataFrame, target: str = "") -> dict[str, pd.DataFrame]:
    """The weight table cut by what was planted, useful kinds first: title -> its rows. Empty if nothing was planted.

    Titles are the kinds, said to be junk where they are (`noise (junk)`), or of another domain than the target (`kmnist
    (other)`); images of unknown sort are one group.
    """
    if "planted" not in weights.columns:
        return {}
    kinds = weights["kind"].astype(str) if "kind" in weights.columns else pd.Series("", index=weights.index)
    found: dict[str, pd.DataFrame] = {}
    called = words(weights, target)
    for sort, word in ((USEFUL, called.useful), (JUNK, called.other), (-1, "unknown")):
        rows = weights[weights["planted"] == sort]
        for kind in sorted(set(kinds[rows.index])):
            title = f"{kind} ({word})" if kind not in ("", "None", "nan") else word
            found[title] = rows[kinds[rows.index] == kind]
    return found
