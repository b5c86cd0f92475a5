"""A random subset: so many images, drawn by the run's seed, and nothing without a share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from bdw.config import WeighterConfig
from bdw.errors import InputError
from bdw.weighting import registry as weighters
from bdw.weighting.weighters.protocol import Weighter


@pytest.fixture
def drawn(make_weighter: Callable[..., Weighter]) -> Callable[..., NDArray[np.float64]]:
    """The weights (30,) of a share and a seed."""

    def draw(share: float, seed: int = 0) -> NDArray[np.float64]:
        weighter = make_weighter(weighter="random", kept_share=share, seed=seed)
        np.testing.assert_array_equal(weighter.useless(), weighter.table().mean == 0)
        return weighter.table().mean

    return draw


@pytest.mark.parametrize(("share", "count"), [(1.0, 30), (0.5, 15), (0.24, 7), (0.1, 3), (0.001, 1)])
def test_so_many_images_of_weight_1(drawn: Callable[..., NDArray[np.float64]], share: float, count: int) -> None:
    weights = drawn(share)
    assert sorted(set(weights)) in ([0.0, 1.0], [1.0])
    assert weights.sum() == count


def test_the_same_seed_draws_the_same_and_another_others(drawn: Callable[..., NDArray[np.float64]]) -> None:
    np.testing.assert_array_equal(drawn(0.5, seed=3), drawn(0.5, seed=3))
    others = [tuple(drawn(0.5, seed=seed)) for seed in range(8)]
    assert len(set(others)) == 8


def test_every_image_is_as_likely(drawn: Callable[..., NDArray[np.float64]]) -> None:
    """Of 400 draws each image is in 200, give or take four standard deviations (40)."""
    times = sum(drawn(0.5, seed=seed) for seed in range(400))
    assert np.abs(times - 200).max() <= 40


def test_without_a_share_it_is_refused() -> None:
    with pytest.raises(InputError, match=r"kept_share: weighter 'random' needs the share to keep"):
        weighters.check(WeighterConfig(weighter="random"))


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5, float("nan")])
def test_no_share_is_refused(share: float) -> None:
    with pytest.raises(InputError, match=r"kept_share: .* allowed: above 0, at most 1"):
        WeighterConfig(kept_share=share)
