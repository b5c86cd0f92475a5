"""The Beta weighter against scipy, finite differences of the quantile function, and a slow reference of its update."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch

from bdw.config import WeighterConfig
from bdw.errors import InputError
from bdw.weighting.weighters.beta import BetaWeighter


def _weighter(n: int = 12, **changes: float) -> BetaWeighter:
    settings = {
        "learning_rate": 0.5, "momentum": 0.9, "log_bound": 7.0, "cdf_threshold": 0.25, "density_threshold": 0.5,
    }  # fmt: skip
    return BetaWeighter(n, **(settings | changes), dtype=torch.float64)  # type: ignore[arg-type]


def _set(weighter: BetaWeighter, log_a: torch.Tensor, log_b: torch.Tensor) -> None:
    weighter.instances.values.copy_(torch.stack([log_a, log_b]))


def test_starts_as_the_uniform_prior() -> None:
    table = _weighter().table()
    np.testing.assert_array_equal(table.a, 1)
    np.testing.assert_array_equal(table.b, 1)
    np.testing.assert_array_equal(table.mean, 0.5)
    np.testing.assert_allclose(table.variance, 1 / 12, rtol=1e-15)


def test_mean_variance_and_pruning_rule_equal_scipy() -> None:
    torch.manual_seed(0)
    weighter = _weighter(200)
    _set(weighter, 4 * torch.randn(200).double().clamp(-1.7, 1.7), 4 * torch.randn(200).double().clamp(-1.7, 1.7))
    table = weighter.table()
    distribution = scipy.stats.beta(table.a, table.b)
    np.testing.assert_allclose(table.mean, distribution.mean(), rtol=1e-12)
    np.testing.assert_allclose(table.variance, distribution.var(), rtol=1e-10)
    np.testing.assert_array_equal(weighter.useless(), distribution.cdf(0.25) > 0.5)
    assert 0 < weighter.useless().sum() < 200


def test_samples_follow_the_distribution() -> None:
    weighter = _weighter(20_000)
    _set(weighter, torch.full((20_000,), np.log(2.0)), torch.full((20_000,), np.log(5.0)))
    sample = weighter.sample(torch.arange(20_000), torch.Generator().manual_seed(0))
    assert scipy.stats.kstest(sample.weights.detach().numpy(), scipy.stats.beta(2, 5).cdf).pvalue > 0.01


def test_the_sample_derivative_is_that_of_the_quantile_function() -> None:
    """Implicit reparameterisation: moving a or b moves w along the quantile F^-1(u; a, b) at fixed u."""
    torch.manual_seed(0)
    weighter = _weighter(50)
    logs = torch.rand(2, 50).double() * 3 - 1
    _set(weighter, *logs)
    sample = weighter.sample(torch.arange(50), torch.Generator().manual_seed(3))
    weights = sample.weights.detach().numpy()
    a, b = logs.exp().numpy()
    u = scipy.special.betainc(a, b, weights)
    step = 1e-5
    by_log_a = scipy.special.betaincinv(a * np.exp(step), b, u) - scipy.special.betaincinv(a * np.exp(-step), b, u)
    by_log_b = scipy.special.betaincinv(a, b * np.exp(step), u) - scipy.special.betaincinv(a, b * np.exp(-step), u)
    (gradients,) = torch.autograd.grad(sample.weights.sum(), sample.logs)  # type: ignore[attr-defined]
    # torch evaluates the derivative by series that are good to a few digits only.
    np.testing.assert_allclose(gradients[0], by_log_a / (2 * step), rtol=5e-3, atol=1e-5)
    np.testing.assert_allclose(gradients[1], by_log_b / (2 * step), rtol=5e-3, atol=1e-5)


def test_three_steps_equal_a_reference_written_from_the_equations() -> None:
    weighter = _weighter(6)
    generator = torch.Generator().manual_seed(1)
    log_a, log_b = torch.zeros(6).double(), torch.zeros(6).double()
    buffer_a, buffer_b = torch.zeros(6).double(), torch.zeros(6).double()
    for rows in (torch.tensor([0, 1, 2]), torch.tensor([2, 3]), torch.tensor([4, 0, 5])):
        gradient = torch.randn(len(rows), generator=torch.Generator().manual_seed(int(rows.sum()))).double()
        sample = weighter.sample(rows, generator)
        weighter.update(sample, gradient)
        # The same sample again, by dense leaves and torch's own chain rule.
        leaf_a, leaf_b = log_a.clone().requires_grad_(), log_b.clone().requires_grad_()
        pathwise = (
            torch._dirichlet_grad(sample.weights.detach(), leaf_a[rows].exp(), leaf_a[rows].exp() + leaf_b[rows].exp()),
            torch._dirichlet_grad(
                1 - sample.weights.detach(), leaf_b[rows].exp(), leaf_a[rows].exp() + leaf_b[rows].exp()
            ),
        )
        w = sample.weights.detach()
        by_a = torch.zeros(6).double()
        by_b = torch.zeros(6).double()
        by_a[rows] = gradient * pathwise[0].detach() * (1 - w) * log_a[rows].exp()
        by_b[rows] = -gradient * pathwise[1].detach() * w * log_b[rows].exp()
        buffer_a, buffer_b = 0.9 * buffer_a + by_a, 0.9 * buffer_b + by_b
        log_a, log_b = log_a - 0.5 * buffer_a, log_b - 0.5 * buffer_b
    weighter.end_epoch()
    table = weighter.table()
    np.testing.assert_allclose(np.log(table.a), log_a, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(np.log(table.b), log_b, rtol=1e-10, atol=1e-12)


def test_a_harmful_instance_loses_weight_and_a_helpful_one_gains() -> None:
    weighter = _weighter(2)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        sample = weighter.sample(torch.tensor([0, 1]), generator)
        weighter.update(sample, torch.tensor([1.0, -1.0], dtype=torch.float64))
    weighter.end_epoch()
    harmful, helpful = weighter.table().mean
    assert harmful < 0.1 < 0.9 < helpful
    assert weighter.useless().tolist() == [True, False]


@pytest.mark.parametrize("log_a", [-7.0, 0.0, 7.0])
@pytest.mark.parametrize("log_b", [-7.0, 0.0, 7.0])
def test_stays_finite_everywhere_within_the_bounds(log_a: float, log_b: float) -> None:
    n = 2_000
    weighter = _weighter(n, learning_rate=10.0)
    _set(weighter, torch.full((n,), log_a).double(), torch.full((n,), log_b).double())
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        sample = weighter.sample(torch.arange(n), generator)
        assert bool(((sample.weights >= 0) & (sample.weights <= 1)).all())
        weighter.update(sample, 100 * torch.randn(n, generator=generator).double())
    weighter.end_epoch()
    assert bool(weighter.instances.values.isfinite().all())
    assert bool((weighter.instances.values.abs() <= 7).all())
    assert np.isfinite(weighter.table().mean).all()


def test_thresholds_that_would_prune_the_prior_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(lambda\): 0.6 is above density_threshold \(rho\) 0.5"):
        BetaWeighter.check(WeighterConfig(cdf_threshold=0.6, density_threshold=0.5))
    BetaWeighter.check(WeighterConfig(cdf_threshold=0.5, density_threshold=0.5))
    BetaWeighter.check(WeighterConfig(cdf_threshold=0.6, density_threshold=0.5, prune=False))
    for threshold in np.linspace(0.01, 0.99, 99):
        assert not _weighter(1, cdf_threshold=threshold, density_threshold=threshold).useless().any()
