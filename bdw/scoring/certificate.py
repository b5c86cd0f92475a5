"""Is the set that a run kept any good? Test scores of encoders that were trained alike on it and on its rivals.

Each arm is trained with the same seeds, and a difference between two arms comes with a bootstrap interval over seeds:
both arms' scores are drawn anew with replacement, and the interval holds the middle of the differences of their means.
Few scores make a bootstrap too narrow, so that its quantiles are widened as Hesterberg does ("What teachers should know
about the bootstrap", The American Statistician 69, 2015, section 5.3): for n scores and a level of 1 - alpha they are
those at Phi(-sqrt(n / (n - 1)) t) and above, t being Student's quantile at 1 - alpha / 2 with the 2 (n - 1) degrees of
freedom of a difference. With three seeds an interval reaches at most from the worst score of one arm to the best of the
other. Where both arms are equally good, 2 of the 20 orders of six scores leave 0 out of it: its level is 90 %.
"""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Scores = NDArray[np.float64]

LEVEL = 0.95
"""Nominal level of an interval."""
LEAST_SEEDS = 3
"""With two, one order of four scores in three would leave 0 out of the interval, where both arms are equally good."""
RESAMPLES = 9999


class Arm(enum.StrEnum):
    """What an encoder is trained on; all arms see the same number of images."""

    KEPT = "kept"
    """The images that the run kept."""
    RANDOM = "random"
    """As many images, drawn at random anew for every seed."""
    NEAREST = "nearest"
    """As many images, those that the target's training images retrieve by the features of the run's encoder."""
    PLAIN = "plain"
    """All images of the source."""
    WEIGHTED = "weighted"
    """All images, each counting as much as its mean weight."""


class Advice(enum.StrEnum):
    """What to do with the weights that a run learnt."""

    PRUNE = "prune"
    WEIGH = "weigh"
    RANK_ONLY = "rank only"
    LEAVE_IT = "leave it"


@dataclass(frozen=True)
class Difference:
    """By how much one arm is better than another: mean over seeds, and interval, in the measure's own unit."""

    arm: Arm
    rival: Arm
    mean: float
    low: float
    high: float

    @property
    def is_better(self) -> bool:
        """Whether the whole interval speaks for the arm."""
        return self.low > 0

    @property
    def is_worse(self) -> bool:
        """Whether the whole interval speaks for its rival."""
        return self.high < 0


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """Scores by arm, and what follows from them."""

    measure: str
    """Name of the measure, on the target's test images."""
    higher_is_better: bool
    images: int
    """Images of the source."""
    kept: int
    """Images of the arms `kept`, `random` and `nearest`."""
    budget_images: int
    """Images that passed a training step in each run."""
    seeds: tuple[int, ...]
    scores: Mapping[Arm, tuple[float, ...]]
    """Of every arm, a score per seed."""
    seconds: Mapping[Arm, float]
    """Of training and evaluation, mean over seeds."""

    def difference(self, arm: Arm, rival: Arm) -> Difference:
        """By how much `arm` is better than `rival`; positive is better, also where lower scores are."""
        sign = 1 if self.higher_is_better else -1
        one, other = (sign * np.asarray(self.scores[each], dtype=np.float64) for each in (arm, rival))
        low, high = interval(one, other)
        return Difference(arm, rival, float(one.mean() - other.mean()), low, high)

    @property
    def differences(self) -> tuple[Difference, ...]:
        """Those that the advice rests on, and the one to nearest neighbours."""
        pairs = [(Arm.KEPT, rival) for rival in (Arm.RANDOM, Arm.NEAREST, Arm.PLAIN)]
        pairs += [(Arm.WEIGHTED, Arm.PLAIN), (Arm.WEIGHTED, Arm.KEPT)]
        return tuple(self.difference(*pair) for pair in pairs)

    @property
    def advice(self) -> Advice:
        """Prune if the kept set is better than a random one of its size and than plain training, and weights in the
        loss are not better still. Otherwise weigh, if these are better than plain training. Otherwise rank only, if the
        kept set is better than a random one: its images are well chosen, but the others are worth training on, too.
        Otherwise leave it. Better means that the whole interval says so.
        """
        found = {(each.arm, each.rival): each for each in self.differences}
        chosen = found[Arm.KEPT, Arm.RANDOM].is_better
        beats_pruning = found[Arm.WEIGHTED, Arm.KEPT].is_better
        if chosen and found[Arm.KEPT, Arm.PLAIN].is_better and not beats_pruning:
            return Advice.PRUNE
        if found[Arm.WEIGHTED, Arm.PLAIN].is_better:
            return Advice.WEIGH
        return Advice.RANK_ONLY if chosen else Advice.LEAVE_IT

    def values(self) -> dict[str, Any]:
        """JSON values: the fields, from which `of_values` comes back, and what follows from them."""
        return {
            **vars(self),
            "seeds": list(self.seeds),
            "scores": {arm.value: list(scores) for arm, scores in self.scores.items()},
            "seconds": {arm.value: seconds for arm, seconds in self.seconds.items()},
            "advice": self.advice.value,
            "differences": [
                {"arm": each.arm.value, "rival": each.rival.value, "mean": each.mean, "low": each.low,
                 "high": each.high}
                for each in self.differences
            ],
        }  # fmt: skip

    @classmethod
    def of_values(cls, values: Mapping[str, Any]) -> Self:
        """The certificate that `values` came from; `KeyError`, `TypeError` or `ValueError` for others."""
        scores = {Arm(arm): tuple(map(float, values["scores"][arm])) for arm in values["scores"]}
        seeds = tuple(map(int, values["seeds"]))
        if set(scores) != set(Arm) or {len(each) for each in scores.values()} != {len(seeds)}:
            raise ValueError("a score for every seed of every arm")
        return cls(
            measure=str(values["measure"]),
            higher_is_better=bool(values["higher_is_better"]),
            images=int(values["images"]),
            kept=int(values["kept"]),
            budget_images=int(values["budget_images"]),
            seeds=seeds,
            scores=scores,
            seconds={Arm(arm): float(seconds) for arm, seconds in values["seconds"].items()},
        )

    def json(self) -> str:
        """`values` as text."""
        return json.dumps(self.values(), indent=1)


def interval(one: Scores, other: Scores) -> tuple[float, float]:
    """The ends of the interval of mean(one) - mean(other), both (n,), n being at least 2; see the module."""
    n = len(one)
    student = stats.t.ppf((1 + LEVEL) / 2, 2 * (n - 1))
    outside = 2 * stats.norm.sf(math.sqrt(n / (n - 1)) * student)
    found = stats.bootstrap(
        (one, other),
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        n_resamples=RESAMPLES,
        confidence_level=1 - float(outside),
        method="percentile",
        random_state=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)
