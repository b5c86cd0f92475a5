"""What every (lambda, rho) would have pruned, and when, from the recorded trajectory of one run.

lambda and rho act on a run only through the pruning rule. Two runs that differ in nothing else are therefore the same
run up to the end of the first epoch at which one of them prunes, and what it prunes there is known exactly. What comes
later is not: a pruned image no longer moves the encoder, and with it the weights of the others. The replay goes on with
the recorded weights, and says from where on that is an approximation.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from bdw.config import RunConfig
from bdw.errors import InputError
from bdw.runs.trajectory import Trajectory
from bdw.weighting.keep_mask import KeepMask, min_kept
from bdw.weighting.weighters.beta import concentrations, is_useless, mean_weight, share_below


class Thresholds(NamedTuple):
    """One pruning rule: prune once more than `density_threshold` of the density lies below `cdf_threshold`."""

    cdf_threshold: float
    """lambda."""
    density_threshold: float
    """rho."""


@dataclass(frozen=True)
class Outcome:
    """What one pair of thresholds would have done."""

    pruned: NDArray[np.int64]
    """(E,) images pruned at the end of each epoch, those of earlier epochs included."""
    junk_pruned: NDArray[np.int64]
    """(E,) planted junk among them; all 0 where nothing was planted."""
    useful_pruned: NDArray[np.int64]
    """(E,) planted useful images among them."""
    pruned_at_epoch: NDArray[np.int32]
    """(n,) when each image went for the last time, 0 for those that are kept after the last epoch."""
    first_pruned: int | None
    """The first epoch at which it would have pruned anything; None if there is none."""
    first_floor: int | None
    """The first epoch at which `min_kept` was all that stopped it; None if there is none."""
    last_exact: int
    """The last epoch up to which a run with these thresholds would have given exactly this; E if all are exact."""


@dataclass(frozen=True)
class Replay:
    """The map: an outcome for every pair of thresholds that a run may have."""

    num_instances: int
    num_epochs: int
    """E, the recorded ones."""
    num_junk: int
    num_useful: int
    own: Thresholds | None
    """The run's own, if it pruned anything by them."""
    own_first_pruned: int | None
    """The epoch after which the run was no longer what one without pruning would have been; None if it always was."""
    outcomes: dict[Thresholds, Outcome]

    @property
    def cdf_thresholds(self) -> list[float]:
        """Every lambda of the map, rising."""
        return sorted({pair.cdf_threshold for pair in self.outcomes})

    @property
    def density_thresholds(self) -> list[float]:
        """Every rho of the map, rising."""
        return sorted({pair.density_threshold for pair in self.outcomes})

    @property
    def is_planted(self) -> bool:
        """Whether some images are known to be useful and some to be junk."""
        return self.num_junk > 0 and self.num_useful > 0

    def pruned_fraction(self, thresholds: Thresholds) -> NDArray[np.float64]:
        """(E,) share of all images."""
        return self.outcomes[thresholds].pruned / self.num_instances

    def trained_fraction(self, thresholds: Thresholds) -> float:
        """Images trained on over all epochs, as a share of those of a run without pruning."""
        before = np.concatenate([[0], self.outcomes[thresholds].pruned[:-1]])
        return float(1 - before.mean() / self.num_instances)


def grid(cdf_thresholds: Sequence[float], density_thresholds: Sequence[float]) -> list[Thresholds]:
    """All pairs that a run may have, lambda by lambda: those with lambda <= rho.

    Raises `InputError` for values outside (0, 1), values given twice, and values that are in no such pair.
    """
    for name, values in (("cdf_threshold (lambda)", cdf_thresholds), ("density_threshold (rho)", density_thresholds)):
        if not values:
            raise InputError(f"{name}: none given; allowed: at least one")
        for value in values:
            if not 0 < value < 1:
                raise InputError(f"{name}: {value} cannot work; allowed: between 0 and 1, both excluded")
            if values.count(value) > 1:
                raise InputError(f"{name}: {value} is given twice; allowed: each once")
    highest_lambda, lowest_lambda, highest_rho = max(cdf_thresholds), min(cdf_thresholds), max(density_thresholds)
    if highest_lambda > highest_rho:
        raise InputError(
            f"cdf_threshold (lambda): {highest_lambda} is above every density_threshold (rho), so that images would be "
            "pruned before anything is learnt about them; allowed: lambda <= rho"
        )
    if min(density_thresholds) < lowest_lambda:
        raise InputError(
            f"density_threshold (rho): {min(density_thresholds)} is below every cdf_threshold (lambda), so that images "
            "would be pruned before anything is learnt about them; allowed: lambda <= rho"
        )
    pairs = itertools.product(sorted(cdf_thresholds), sorted(density_thresholds))
    return [Thresholds(*pair) for pair in pairs if pair[0] <= pair[1]]


def replay(
    trajectory: Trajectory,
    config: RunConfig,
    pairs: Sequence[Thresholds],
    *,
    burn_in_epochs: int | None = None,
    planted: NDArray[np.int8] | None = None,
) -> Replay:
    """Judge the recorded weights by every pair of thresholds, epoch by epoch.

    Args:
        trajectory: of a run of the weighter `beta`.
        config: the run's, which has `min_kept` and the burn-in.
        pairs: as `grid` gives them.
        burn_in_epochs: another burn-in than the run's.
        planted: (n,) 1 useful, 0 junk, -1 unknown; None if nothing was planted.

    Raises:
        InputError: the run has another weighter, nothing was recorded, an epoch is missing or damaged, the burn-in is
            negative, or `planted` is of another source.
    """
    weighter = config.weighter
    if weighter.weighter != "beta":
        raise InputError(
            f"run: its weighter is {weighter.weighter!r}; allowed: a run of 'beta', whose rule has lambda and rho"
        )
    if burn_in_epochs is not None and burn_in_epochs < 0:
        raise InputError(f"burn_in_epochs: {burn_in_epochs} cannot work; allowed: 0 or more")
    epochs = _whole(trajectory)
    num_instances = trajectory.read(1).shape[1]
    if planted is not None and len(planted) != num_instances:
        raise InputError(
            f"trajectory: {trajectory.folder} has {num_instances} images, the run's weights {len(planted)}; allowed: "
            "files of one run"
        )
    kinds = np.full(num_instances, -1, dtype=np.int8) if planted is None else planted
    burn_in = weighter.burn_in_epochs if burn_in_epochs is None else burn_in_epochs
    rules = {pair: _Rule(pair, config, burn_in, kinds) for pair in pairs}
    # What the run itself pruned follows from its weights as well.
    own = Thresholds(weighter.cdf_threshold, weighter.density_threshold)
    itself = [_Rule(own, config, weighter.burn_in_epochs, kinds)] if weighter.prune else []
    everyone = [*rules.values(), *itself]
    for epoch in epochs:
        logs = trajectory.read(epoch)
        if logs.shape[1] != num_instances:
            raise InputError(
                f"trajectory: epoch {epoch} has {logs.shape[1]} images, the first one {num_instances}; allowed: epochs "
                "of one run"
            )
        a, b = concentrations(torch.from_numpy(logs))
        mean = mean_weight(a, b)
        for cdf_threshold in {rule.thresholds.cdf_threshold for rule in everyone}:
            below = share_below(a, b, cdf_threshold)
            for rule in everyone:
                if rule.thresholds.cdf_threshold == cdf_threshold:
                    rule.judge(is_useless(below, rule.thresholds.density_threshold), mean, epoch)
    disturbed = itself[0].first_pruned if itself else None

    def last_exact(rule: _Rule) -> int:
        if disturbed is not None and rule.thresholds == own and burn_in == weighter.burn_in_epochs:
            return len(epochs)  # It is the run itself.
        return min((epoch for epoch in (rule.first_pruned, disturbed) if epoch is not None), default=len(epochs))

    return Replay(
        num_instances=num_instances,
        num_epochs=len(epochs),
        num_junk=int((kinds == 0).sum()),
        num_useful=int((kinds == 1).sum()),
        own=None if disturbed is None else own,
        own_first_pruned=disturbed,
        outcomes={pair: rule.outcome(last_exact(rule)) for pair, rule in rules.items()},
    )


class _Rule:
    """A keep mask under one pair of thresholds, and what became of it after each epoch."""

    def __init__(self, thresholds: Thresholds, config: RunConfig, burn_in_epochs: int, kinds: NDArray[np.int8]):
        self.thresholds = thresholds
        self.first_pruned: int | None = None
        self._first_floor: int | None = None
        floor = min_kept(config, len(kinds))
        self._mask = KeepMask(len(kinds), floor, seed=config.optimiser.seed, warn=False)
        self._burn_in = burn_in_epochs
        self._is_junk, self._is_useful = kinds == 0, kinds == 1
        self._counts: list[tuple[int, int, int]] = []

    def judge(self, useless: NDArray[np.bool_], mean: NDArray[np.float64], epoch: int) -> None:
        """The end of an epoch, as the training loop has it."""
        if epoch > self._burn_in:
            wanted = int((useless & self._mask.kept.numpy()).sum())
            gone = len(self._mask.prune(useless, mean, epoch))
            if gone and self.first_pruned is None:
                self.first_pruned = epoch
            if gone < wanted and self._first_floor is None:
                self._first_floor = epoch
        pruned = ~self._mask.kept.numpy()
        self._counts.append(
            (int(pruned.sum()), int((pruned & self._is_junk).sum()), int((pruned & self._is_useful).sum()))
        )

    def outcome(self, last_exact: int) -> Outcome:
        """After the last epoch."""
        pruned, junk, useful = np.array(self._counts, dtype=np.int64).T
        return Outcome(
            pruned=pruned,
            junk_pruned=junk,
            useful_pruned=useful,
            pruned_at_epoch=self._mask.pruned_at_epoch.numpy(),
            first_pruned=self.first_pruned,
            first_floor=self._first_floor,
            last_exact=last_exact,
        )


def _whole(trajectory: Trajectory) -> list[int]:
    """The recorded epochs, if they begin with the first and none is missing."""
    epochs = trajectory.epochs()
    if not epochs:
        raise InputError(
            f"run: {trajectory.folder} holds no recorded epochs; allowed: a run made with --record-trajectory (best "
            "with --no-prune)"
        )
    missing = sorted(set(range(1, epochs[-1] + 1)) - set(epochs))
    if missing:
        raise InputError(
            f"run: epoch {missing[0]} of {trajectory.folder} is missing ({len(missing)} in all); allowed: a run "
            "made with --record-trajectory from its first epoch on"
        )
    return epochs
