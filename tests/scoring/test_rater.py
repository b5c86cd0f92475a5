"""The rater against the closed form of Bayesian linear regression, and against weights that are a known function."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import BayesianRidge
from torch import Tensor

from bdw.scoring.rater import TWO_SIDED_95, Rater
from bdw.weighting.random_functions import RandomFunctions
from bdw.weighting.verdicts import NUM_FUNCTIONS, SHARPNESS

N = 400


def drawn(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Descriptions in two parts, of five numbers and of three."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 5, generator=generator), torch.randn(count, 3, generator=generator)


def learnt(parts: tuple[Tensor, Tensor], seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean weights and evidence that follow the descriptions, with a little noise."""
    noise = np.random.default_rng(seed).normal(0, 0.02, len(parts[0]))
    mean = 0.5 + 0.3 * np.tanh(parts[0][:, 0].numpy()) + noise
    return mean.clip(0.02, 0.98), np.exp(1 + 0.5 * np.sin(parts[1][:, 0].double().numpy()))


def test_it_is_bayesian_linear_regression_in_closed_form() -> None:
    """Bishop, "Pattern Recognition and Machine Learning", equations 3.53, 3.54 and 3.59, with the noise and the prior
    that the evidence chose."""
    parts = drawn(N, seed=1)
    mean, total = learnt(parts)
    rater = Rater.fit(parts, mean, total)
    x = torch.cat(parts, dim=1).double()
    functions = RandomFunctions((5, 3), NUM_FUNCTIONS, sharpness=SHARPNESS)
    design = functions(x, x.mean(dim=0), x.square().mean(dim=0))[:, :-1].numpy()
    centred = design - design.mean(axis=0)
    chosen = BayesianRidge().fit(centred, mean)
    covariance = np.linalg.inv(chosen.lambda_ * np.eye(NUM_FUNCTIONS) + chosen.alpha_ * centred.T @ centred)
    coefficients = chosen.alpha_ * covariance @ centred.T @ (mean - mean.mean())
    np.testing.assert_allclose(rater.coefficients[:, 0].numpy(), coefficients, rtol=1e-6, atol=1e-9)
    new = drawn(50, seed=2)
    seen = functions(torch.cat(new, dim=1).double(), x.mean(dim=0), x.square().mean(dim=0))[:, :-1].numpy()
    seen = seen - design.mean(axis=0)
    ratings = rater.rate(new)
    np.testing.assert_allclose(ratings.predicted, mean.mean() + seen @ coefficients, rtol=0, atol=1e-9)
    deviation = np.sqrt(1 / chosen.alpha_ + np.einsum("ij,jk,ik->i", seen, covariance, seen))
    upper = np.clip(ratings.predicted + TWO_SIDED_95 * deviation, 0, 1)
    np.testing.assert_allclose(ratings.high, np.maximum(upper, ratings.mean), rtol=0, atol=1e-7)


def test_unseen_images_get_what_was_learnt_of_such_images() -> None:
    parts, new = drawn(2000, seed=1), drawn(500, seed=2)
    rater = Rater.fit(parts, *learnt(parts))
    ratings, (mean, total) = rater.rate(new), learnt(new, seed=1)
    assert np.corrcoef(ratings.mean, mean)[0, 1] > 0.97
    assert np.corrcoef(np.log(ratings.a + ratings.b), np.log(total))[0, 1] > 0.9
    np.testing.assert_allclose(ratings.a / (ratings.a + ratings.b), ratings.mean, rtol=1e-12)
    inside = (ratings.low <= mean) & (mean <= ratings.high)
    assert 0.9 <= inside.mean() <= 0.99


def test_nobody_gets_more_than_the_run_has_seen() -> None:
    parts = drawn(N, seed=1)
    mean, total = learnt(parts)
    far = drawn(300, seed=3)
    ratings = Rater.fit(parts, mean, total).rate((far[0] * 5, far[1] * 5))
    assert mean.min() <= ratings.mean.min() <= ratings.mean.max() <= mean.max()
    evidence = ratings.a + ratings.b
    assert total.min() * (1 - 1e-9) <= evidence.min() <= evidence.max() <= total.max() * (1 + 1e-9)
    assert (ratings.low <= ratings.mean).all()
    assert (ratings.mean <= ratings.high).all()
    assert ratings.low.min() >= 0
    assert ratings.high.max() <= 1
    assert (ratings.a > 0).all()
    assert (ratings.b > 0).all()


def test_weights_without_evidence_have_a_mean_alone() -> None:
    parts = drawn(N, seed=1)
    ratings = Rater.fit(parts, learnt(parts)[0] * 3, None).rate(parts)
    assert np.isnan(ratings.a).all()
    assert np.isnan(ratings.b).all()
    assert ratings.high.max() > 1, "such weights have no upper end"


def test_it_comes_back_from_its_tensors_bit_for_bit() -> None:
    parts, new = drawn(N, seed=1), drawn(20, seed=2)
    rater = Rater.fit(parts, *learnt(parts))
    again = Rater.of_tensors(rater.tensors())
    for one, other in zip(vars(rater.rate(new)).values(), vars(again.rate(new)).values(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(KeyError, match="noise"):
        Rater.of_tensors({name: value for name, value in rater.tensors().items() if name != "noise"})
