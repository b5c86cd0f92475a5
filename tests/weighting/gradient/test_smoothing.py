"""Evidence shared between images that look alike, against a ridge regression and against what was planted."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from torch import Tensor

from bdw.weighting.gradient.smoothing import LARGEST, NOISE, NUM_FUNCTIONS, OWN, Smoothing, colours

FOR_EVER = math.inf


def _functions(*standardised: NDArray[np.float64]) -> NDArray[np.float64]:
    """The random functions and the constant (m, 257), drawn as the module says: the same in every run."""
    generator = torch.Generator().manual_seed(0)
    each = NUM_FUNCTIONS // len(standardised)
    phases = np.hstack(
        [
            part
            @ torch.randn(part.shape[1], each, generator=generator, dtype=torch.float64).numpy()
            / math.sqrt(part.shape[1])
            for part in standardised
        ]
    )
    shifts = 2 * math.pi * torch.rand(NUM_FUNCTIONS, generator=generator, dtype=torch.float64).numpy()
    waves = math.sqrt(2 / NUM_FUNCTIONS) * np.cos(phases + shifts)
    return np.hstack([waves, np.ones((len(waves), 1))])


def _standardised(features: Tensor) -> NDArray[np.float64]:
    return ((features - features.mean(dim=0)) / features.std(dim=0, correction=0)).numpy()


def _images(number: int, seed: int = 0, dim: int = 6) -> Tensor:
    return torch.randn(number, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_one_step_is_a_ridge_regression_on_random_functions() -> None:
    features, others, said = 3 * _images(50) + 1, _images(50, seed=2, dim=3), _images(50, seed=1)[:, 0]
    found = Smoothing(FOR_EVER).follow((features, others), said)
    functions, size = _functions(_standardised(features), _standardised(others)), float(said.square().mean().sqrt())
    votes = np.clip(said.numpy() / size, -LARGEST, LARGEST)
    assert (np.abs(said.numpy()) > LARGEST * size).any(), "no outlier, so that their limit was not tested"
    predicted = Ridge(alpha=NOISE, fit_intercept=False).fit(functions, votes).predict(functions)
    np.testing.assert_allclose(found.numpy(), (predicted + OWN * (votes - predicted)) * size, rtol=1e-9)


def test_it_stays_a_ridge_regression_however_much_it_remembers() -> None:
    """Of a million images that have all been seen before: whatever is forgotten in a step is a little of much."""
    shared, memory = Smoothing(1e6), 1e6
    features, said = _images(400), _images(400, seed=1)[:, 0]
    shared.follow((features,), said)
    functions = _functions(_standardised(features))
    state = shared.state_dict()
    steady = torch.from_numpy(functions.T @ functions) * (memory / len(functions))
    shared.load_state_dict(
        {
            **state,
            "gram": steady,
            "visits": state["visits"] * (memory / len(functions)),
            "features": state["features"] * (memory / len(functions)),
            "products": state["products"] * (memory / len(functions)),
        }
    )
    for _ in range(300):
        found = shared.follow((features,), said)
    votes = np.clip(said.numpy() / float(said.square().mean().sqrt()), -LARGEST, LARGEST)
    weights = np.full(len(votes), float(shared.state_dict()["visits"][0]) / len(votes))
    ridge = Ridge(alpha=NOISE, fit_intercept=False).fit(functions, votes, sample_weight=weights)
    predicted = ridge.predict(functions)
    size = float(said.square().mean().sqrt())
    np.testing.assert_allclose(found.numpy(), (predicted + OWN * (votes - predicted)) * size, rtol=1e-6, atol=1e-9)


def test_colours_are_means_and_deviations_of_channels_and_of_their_differences() -> None:
    images = torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    red, green, blue = images.numpy().transpose(1, 0, 2, 3)
    seen = (red, green, blue, red - green, red - blue, green - blue)
    expected = [np.mean(x, axis=(1, 2)) for x in seen] + [np.std(x, axis=(1, 2)) for x in seen]
    np.testing.assert_allclose(colours(images), np.stack(expected, axis=1), rtol=1e-4, atol=1e-6)
    grey = images[:, :1]
    np.testing.assert_allclose(colours(grey)[:, 0], grey.mean(dim=(1, 2, 3)), rtol=1e-5)
    assert colours(grey).shape == (4, 2)


def test_grey_images_have_no_opponent_colours() -> None:
    """None at all: what differs between grey images by rounding would be told apart as if it were colour."""
    grey = torch.randn(6, 1, 32, 32, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1)
    found = colours(torch.cat([grey, torch.full_like(grey, 0.3)]))
    differences_of = [3, 4, 5, 9, 10, 11]
    assert float(found[:, differences_of].abs().max()) == 0
    tinted = grey + 0.02 * torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    expected = (tinted[:, 0] - tinted[:, 1]).std(dim=(1, 2), correction=0)
    torch.testing.assert_close(colours(tinted)[:, 9], expected, rtol=1e-2, atol=0)


def test_one_description_that_tells_kinds_apart_is_enough() -> None:
    shared = Smoothing(2000.0)
    for seed in range(20):
        features, said, kind = _of_two_kinds(64, seed)
        found = shared.follow((_images(64, seed + 100, dim=32), features), said)
    assert roc_auc_score(kind, said) < 0.75
    assert roc_auc_score(kind, found) > 0.9


def test_images_are_alike_as_a_gaussian_of_their_distance() -> None:
    images = _images(40).numpy()
    waves = _functions(images)[:, :-1]
    expected = np.exp(-cdist(images, images, "sqeuclidean") / (2 * images.shape[1]))
    assert np.abs(waves @ waves.T - expected).max() < 5 / math.sqrt(NUM_FUNCTIONS)
    assert np.abs(waves @ waves.T - expected).mean() < 1 / math.sqrt(NUM_FUNCTIONS)


def _of_two_kinds(number: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features, derivatives that are a tenth signal, and which kind an image is; a kind looks alike."""
    generator = torch.Generator().manual_seed(seed)
    kind = torch.rand(number, generator=generator) < 0.5
    features = torch.randn(number, 8, generator=generator, dtype=torch.float64) + 1.5 * kind.unsqueeze(1)
    noise = torch.randn(number, generator=generator, dtype=torch.float64)
    return features, 0.3 * (2 * kind.double() - 1) + noise, kind


def test_what_noise_hides_in_one_visit_is_seen_in_many() -> None:
    shared = Smoothing(2000.0)
    for seed in range(20):
        features, said, kind = _of_two_kinds(64, seed)
        found = shared.follow((features,), said)
    assert roc_auc_score(kind, said) < 0.75
    assert roc_auc_score(kind, found) > 0.97


def test_without_signal_it_says_next_to_nothing() -> None:
    shared = Smoothing(FOR_EVER)
    for seed in range(30):
        features, said = _images(64, seed), _images(64, seed + 100)[:, 0]
        found = shared.follow((features,), said)
    assert float(found.square().mean().sqrt()) < 0.25 * float(said.square().mean().sqrt())


def test_what_is_long_past_is_forgotten() -> None:
    fading, keeping = Smoothing(128.0), Smoothing(FOR_EVER)
    for sign in (1, 1, 1, 1, -1, -1, -1, -1, -1):
        features, _, kind = _of_two_kinds(64, seed=0)
        said = sign * (2 * kind.double() - 1)
        now, ever = fading.follow((features,), said), keeping.follow((features,), said)
    assert float((now * said).mean()) > 0.45
    assert float((ever * said).mean()) < 0.3


def test_outliers_and_units_change_nothing_else() -> None:
    features, said, _ = _of_two_kinds(64, seed=0)
    found = Smoothing(FOR_EVER).follow((features,), said)
    larger = Smoothing(FOR_EVER).follow((1e3 * features - 7,), 1e-9 * said)
    torch.testing.assert_close(larger, 1e-9 * found, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_features_and_derivatives_that_never_move(dtype: torch.dtype) -> None:
    features, said = torch.full((8, 5), 1.7, dtype=dtype), torch.zeros(8, dtype=dtype)
    shared = Smoothing(100.0)
    found = shared.follow((features,), said)
    assert torch.equal(found, said)
    found = shared.follow((features,), torch.ones(8, dtype=dtype))
    assert found.dtype == dtype
    assert float((found - found[0]).abs().max()) == 0
    assert 0 < float(found[0]) < 1


def test_it_goes_on_bit_for_bit() -> None:
    whole, first, second = Smoothing(300.0), Smoothing(300.0), Smoothing(300.0)
    second.load_state_dict(first.state_dict())  # before anything was seen
    for seed in range(3):
        features, said, _ = _of_two_kinds(32, seed)
        whole.follow((features,), said)
        first.follow((features,), said)
    second.load_state_dict(first.state_dict())
    first.follow((_images(32, 9, dim=8),), _images(32, 10)[:, 0])  # whose state is its own
    for seed in range(3, 6):
        features, said, _ = _of_two_kinds(32, seed)
        assert torch.equal(whole.follow((features,), said), second.follow((features,), said))
