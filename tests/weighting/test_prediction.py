"""Predicted usefulness against scikit-learn's ridge regression and against what was planted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from torch import Tensor

from bdw.weighting.prediction import TOLD_SHARE, Described, usefulness
from bdw.weighting.random_functions import RandomFunctions
from bdw.weighting.verdicts import LARGEST, NOISE, NUM_FUNCTIONS, SHARPNESS

WIDTHS = (6, 3)


def _normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _images(useful: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Features in which useful images lie beside the others, and colours that say nothing."""
    shift = 2.5 * useful.double().unsqueeze(1) * (torch.arange(WIDTHS[0]) % 2)
    return _normal(len(useful), WIDTHS[0], seed=seed) + shift, _normal(len(useful), WIDTHS[1], seed=seed + 100)


def _problem(visits: int = 800, signal: float = 0.5) -> tuple[Described, Tensor, Tensor]:
    """Descriptions, derivatives that are mostly noise, and which images of the pool part are useful."""
    of_visited, of_pool = torch.arange(visits) % 7 == 0, torch.arange(700) % 7 == 0
    target = torch.ones(40)
    described = Described(_images(of_visited, 1), _images(of_pool, 2), _images(target, 3), _images(target, 4))
    derivatives = signal * of_visited + _normal(visits, seed=5)
    return described, derivatives / derivatives.square().mean().sqrt(), of_pool


def test_images_that_were_never_visited_are_told_apart() -> None:
    described, seen, useful = _problem(visits=3000)
    assert roc_auc_score(torch.arange(3000) % 7 == 0, seen) < 0.7, "a visit says much"
    found = usefulness(described, seen)
    assert found is not None
    assert roc_auc_score(useful, found[1]) > 0.95


def test_it_is_ridge_regression_on_the_scale_of_pool_and_target() -> None:
    described, seen, _ = _problem()
    found = usefulness(described, seen)
    assert found is not None
    joined = [torch.cat(list(part), dim=1) for part in described]
    both = torch.cat(joined[:2])
    functions = RandomFunctions(WIDTHS, NUM_FUNCTIONS, sharpness=SHARPNESS)
    visited, pool, told, measured = (
        functions(part, both.mean(dim=0), both.square().mean(dim=0)).numpy() for part in joined
    )
    values = np.concatenate([visited, pool, told])
    wanted = np.concatenate([seen.clamp(-LARGEST, LARGEST).numpy(), np.zeros(len(pool)), np.full(len(told), LARGEST)])
    weights = np.ones(len(values))
    weights[-len(told) :] = TOLD_SHARE * (len(visited) + len(pool)) / len(told)
    ridge = Ridge(alpha=NOISE, fit_intercept=False).fit(values, wanted, sample_weight=weights)
    zero, one = ridge.predict(pool).mean(), ridge.predict(measured).mean()
    for part, own in zip(found, (visited, pool), strict=True):
        np.testing.assert_allclose(part.numpy(), (ridge.predict(own) - zero) / (one - zero), atol=1e-8)
    assert float(found[1].mean()) == pytest.approx(0, abs=1e-12)


def test_nothing_is_said_where_the_target_is_not_above_the_pool() -> None:
    described, seen, _ = _problem()
    # The pool holds some useful images, and the half that ends the scale holds none.
    assert usefulness(described._replace(measured=_images(torch.zeros(40), 6)), seen) is None


def test_the_order_of_the_pool_does_not_matter() -> None:
    described, seen, _ = _problem()
    order = torch.randperm(700, generator=torch.Generator().manual_seed(0))
    first = usefulness(described, seen)
    second = usefulness(described._replace(pool=tuple(part[order] for part in described.pool)), seen)
    assert first is not None
    assert second is not None
    torch.testing.assert_close(second[1], first[1][order], rtol=0, atol=1e-8)
