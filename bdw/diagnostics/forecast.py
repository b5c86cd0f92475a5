"""When will the pruning rule have found the useless images, if training goes on as it does now?

The forecast is a simulation. A sample of the kept instances continues from its weights under the weighter's own update
and pruning rule, and its visits are drawn from what was measured. An instance's true evidence is drawn from the
random-effects model's posterior, given its visits so far. Signal, noise and learning rate are assumed to stay as in the
last epoch. An instance is useless if its true evidence is below 0: more weight on it harms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from bdw.diagnostics.variance_components import Floats, Visits, analysed
from bdw.diagnostics.visit_statistics import VisitStatistics
from bdw.weighting.gradient.forward_mode import weight_gradient
from bdw.weighting.weighters.beta import BetaWeighter
from bdw.weighting.weighters.equal_loss import EqualLoss
from bdw.weighting.weighters.protocol import Weighter
from bdw.weighting.weighters.self_normalised import SelfNormalised

SAMPLE = 400
"""Instances that are followed."""
MAX_VISITS = 500
"""Most visits to each instance; more are beyond any run."""


@dataclass(frozen=True)
class Forecast:
    """Epochs until the rule finds half of the useless, and what it does to the others by then."""

    epochs: int | None = None
    """Epochs from now on; 0 if the rule has found them already; None where that is not expected, and `why` says why."""
    why: str = ""
    useless: float = math.nan
    """Expected share of useless instances among the kept."""
    others_pruned: float = math.nan
    """Share of the others that the rule takes for useless by then, or by the simulation's end."""


@dataclass(frozen=True)
class Schedule:
    """How a run goes on."""

    learning_rate: float
    """alpha."""
    batch_size: int
    """k."""
    steps: int
    """Learning steps from one learning visit of an instance to the next. Momentum's clock stands still in the other
    steps."""
    epochs_per_visit: float

    @classmethod
    def of(cls, learning_rate: float, batch_size: int, kept: int, meta_every: int) -> Self:
        """The mean schedule of epochs over `kept` shuffled instances in which the first of every `meta_every` steps
        learns."""
        batches = math.ceil(kept / batch_size)
        return cls(learning_rate, batch_size, batches, batches / math.ceil(batches / meta_every))


def forecast(
    weighter: Weighter, evidence: VisitStatistics, kept: NDArray[np.bool_], schedule: Schedule, seed: int = 0
) -> Forecast:
    """The forecast for the kept instances (`kept` (n,)). It takes a fraction of a second, whatever n is.

    Not known with `normalise_weights`: a weight's gradient then depends on the others of its batch, which is not
    simulated.
    """
    if isinstance(weighter, EqualLoss):
        weighter = weighter.inner
    if isinstance(weighter, SelfNormalised) and isinstance(weighter.inner, BetaWeighter):
        return Forecast(why="not known with normalise_weights")
    if not isinstance(weighter, BetaWeighter):
        return Forecast(why="not known for weights other than Beta distributions")
    between, steps = analysed(evidence.deviations()), evidence.steps()
    if not between.is_certain:
        return Forecast(why="never, as no signal could be told from noise")
    generator = np.random.default_rng(seed)
    rows = np.flatnonzero(kept & (evidence.visits().counts > 0))
    rows = np.sort(generator.choice(rows, min(SAMPLE, len(rows)), replace=False))
    total = between.signal_variance + between.noise_variance
    scale = math.sqrt(steps.noise_variance / total) if steps.noise_variance > 0 else 1.0
    own = _drawn(evidence.deviations(), rows, between.signal_variance, between.noise_variance, generator)
    true = steps.mean + scale * own
    noise = math.sqrt(scale**2 * between.noise_variance + max(0.0, np.nan_to_num(steps.signal_variance)))
    return _followed(weighter, rows, true, noise, schedule, generator)


def _followed(
    weighter: BetaWeighter,
    rows: NDArray[np.int64],
    true: Floats,
    noise: float,
    schedule: Schedule,
    generator: np.random.Generator,
) -> Forecast:
    """Simulate the weights of these rows visit by visit, with evidence normal about `true` (m,), until half of the
    useless instances are found."""
    useless = true < 0
    if not useless.any():
        return Forecast(why="never, as no image's evidence is against it", useless=0.0)
    part, everyone = weighter.excerpt(torch.from_numpy(rows)), torch.arange(len(rows))
    draws = torch.Generator().manual_seed(int(generator.integers(2**31)))
    found = np.zeros(len(rows), dtype=np.bool_)
    for visit in range(MAX_VISITS + 1):
        found |= part.useless()
        others = float(found[~useless].mean()) if not useless.all() else math.nan
        if found[useless].mean() >= 0.5:
            return Forecast(math.ceil(visit * schedule.epochs_per_visit), "", float(useless.mean()), others)
        seen = torch.from_numpy(generator.normal(true, noise))
        gradient = weight_gradient(seen, schedule.learning_rate, schedule.batch_size)
        part.update(part.sample(everyone, draws), gradient)
        part.instances.rest(schedule.steps - 1)
    why = f"not within {math.ceil(MAX_VISITS * schedule.epochs_per_visit):,} epochs"
    return Forecast(None, why, float(useless.mean()), others)


def _drawn(
    visits: Visits, rows: NDArray[np.int64], signal: float, noise: float, generator: np.random.Generator
) -> Floats:
    """True values (m,) of these rows, normal a priori with mean 0, given what their visits said."""
    counts, means = visits.counts[rows], visits.means[rows]
    trust = counts * signal / (counts * signal + noise)
    return np.asarray(generator.normal(trust * means, np.sqrt((1 - trust) * signal)))
