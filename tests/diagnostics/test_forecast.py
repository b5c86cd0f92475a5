"""Forecasts against closed forms where evidence has no noise, and against common sense where it has."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import betainc

from bdw.diagnostics.forecast import Schedule, forecast
from bdw.diagnostics.visit_statistics import VisitStatistics
from bdw.weighting.weighters.beta import BetaWeighter
from bdw.weighting.weighters.counts import CountsWeighter
from bdw.weighting.weighters.equal_loss import EqualLoss
from bdw.weighting.weighters.point import PointWeighter
from bdw.weighting.weighters.protocol import Weighter
from bdw.weighting.weighters.self_normalised import SelfNormalised

N, K = 40, 10
SCHEDULE = Schedule(learning_rate=0.1, batch_size=K, steps=200, epochs_per_visit=1.0)


def evidence_of(noise: float, *, useless: float = -1.0, others: float = 1.0, visits: int = 8) -> VisitStatistics:
    """Half of the instances harm, half help, so much each."""
    generator, evidence = torch.Generator().manual_seed(0), VisitStatistics(N)
    true = torch.where(torch.arange(N) % 2 == 0, useless, others)
    for _ in range(visits):
        for batch in torch.randperm(N, generator=generator).split(K):
            evidence.add(batch, true[batch] + noise * torch.randn(K, generator=generator), K)
        evidence.end_epoch()
    return evidence


def counts(evidence: float, cdf_threshold: float = 0.3, density_threshold: float = 0.9) -> CountsWeighter:
    return CountsWeighter(
        N, evidence=evidence, log_bound=9.0, cdf_threshold=cdf_threshold, density_threshold=density_threshold
    )


def beta(learning_rate: float, momentum: float = 0.0) -> BetaWeighter:
    return BetaWeighter(
        N, learning_rate=learning_rate, momentum=momentum, log_bound=7.0, cdf_threshold=0.4, density_threshold=0.5
    )


KEPT = np.ones(N, dtype=np.bool_)


@pytest.mark.parametrize("step", [0.5, 2.0])
def test_counts_without_noise_reach_the_rule_when_algebra_says(step: float) -> None:
    """After m visits b = 1 + m step, and CDF(lambda; 1, b) = 1 - (1 - lambda)^b passes rho."""
    visits = next(m for m in range(100) if 1 - 0.7 ** (1 + m * step) > 0.9)
    found = forecast(counts(step), evidence_of(1e-3), KEPT, SCHEDULE)
    assert found.epochs == visits
    assert found.useless == pytest.approx(0.5)
    assert found.others_pruned == 0
    every_third = Schedule(SCHEDULE.learning_rate, SCHEDULE.batch_size, SCHEDULE.steps, epochs_per_visit=3.0)
    assert forecast(counts(step), evidence_of(1e-3), KEPT, every_third).epochs == 3 * visits


def test_beta_without_noise_drifts_as_its_mean_gradient_says() -> None:
    """dE[w]/dlog a = a b / (a + b)^2 = -dE[w]/dlog b, so that x = log a - log b falls by 2 c e^x / (1 + e^x)^2 a visit
    and log a + log b stays 0, until half of the density lies below lambda."""
    change, x, visits = 0.02, 0.0, 0  # c: eta alpha / k times the evidence
    while betainc(math.exp(x / 2), math.exp(-x / 2), 0.4) <= 0.5:
        x -= 2 * change * math.exp(x) / (1 + math.exp(x)) ** 2
        visits += 1
    found = forecast(beta(change * K / SCHEDULE.learning_rate), evidence_of(1e-3), KEPT, SCHEDULE)
    assert found.epochs == pytest.approx(visits, rel=0.1)
    # Momentum's drift until the next visit adds up to 1 / (1 - mu) times the step.
    slower = forecast(beta(change * K / SCHEDULE.learning_rate / 10, momentum=0.9), evidence_of(1e-3), KEPT, SCHEDULE)
    assert slower.epochs == pytest.approx(visits, rel=0.1)


def test_noise_makes_the_rule_take_others_too() -> None:
    found = forecast(counts(4.0, density_threshold=0.6), evidence_of(4.0, visits=30), KEPT, SCHEDULE)
    assert found.epochs == 1
    assert found.others_pruned > 0.2


def test_where_nothing_is_expected_it_says_why() -> None:
    none = forecast(counts(1.0), evidence_of(1.0, useless=0.0, others=0.0), KEPT, SCHEDULE)
    assert (none.epochs, none.why) == (None, "never, as no signal could be told from noise")
    helping = forecast(counts(1.0), evidence_of(0.01, useless=0.5), KEPT, SCHEDULE)
    assert (helping.epochs, helping.why) == (None, "never, as no image's evidence is against it")
    slow = forecast(beta(1e-6), evidence_of(0.01), KEPT, SCHEDULE)
    assert (slow.epochs, slow.why) == (None, "not within 500 epochs")
    point = PointWeighter(N, learning_rate=1.0, momentum=0.0, gradient_clip=10.0, threshold=0.1)
    for weighter in (point, SelfNormalised(point)):
        assert "other than Beta" in forecast(weighter, evidence_of(0.01), KEPT, SCHEDULE).why
    normalised = forecast(SelfNormalised(counts(1.0)), evidence_of(0.01), KEPT, SCHEDULE)
    assert (normalised.epochs, normalised.why) == (None, "not known with normalise_weights")


def test_weights_that_only_prune_learn_as_others_do() -> None:
    evidence, own = evidence_of(4.0, visits=30), counts(4.0)
    expected, found = (forecast(weighter, evidence, KEPT, SCHEDULE) for weighter in (own, EqualLoss(own)))
    assert found == expected
    assert found.epochs is not None


@pytest.mark.parametrize(("kept", "meta_every"), [(40, 1), (40, 2), (50, 2), (30, 7)])
def test_the_schedule_is_what_shuffled_epochs_have_in_the_mean(kept: int, meta_every: int) -> None:
    generator, seen_at, clock, epochs = np.random.default_rng(0), [], 0, 4000
    for _ in range(epochs):
        order = generator.permutation(kept)
        for step in range(0, kept // K, meta_every):
            clock += 1
            if 0 in order[step * K : (step + 1) * K]:
                seen_at.append(clock)
    schedule = Schedule.of(0.1, K, kept, meta_every)
    assert schedule.steps == pytest.approx(np.diff(seen_at).mean(), rel=0.05)
    assert schedule.epochs_per_visit == pytest.approx(epochs / len(seen_at), rel=0.05)


@pytest.mark.parametrize("weighter", [counts(1.0), beta(20.0, momentum=0.9)])
def test_the_weighter_itself_learns_nothing(weighter: Weighter) -> None:
    before = {name: value.clone() for name, value in weighter.state_dict().items()}
    random = torch.get_rng_state()
    forecast(weighter, evidence_of(0.1), KEPT, SCHEDULE)
    assert all(torch.equal(value, before[name]) for name, value in weighter.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


def test_only_what_is_kept_is_asked() -> None:
    found = forecast(counts(1.0), evidence_of(0.01), np.arange(N) % 2 == 1, SCHEDULE)
    assert found.why == "never, as no image's evidence is against it"
