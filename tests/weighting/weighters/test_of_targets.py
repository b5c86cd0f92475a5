"""What is trained on, and what is pruned, of weights for several targets: union, mean and vote."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch

from bdw.weighting.weighters.beta import BetaWeighter
from bdw.weighting.weighters.equal_loss import EqualLoss
from bdw.weighting.weighters.of_targets import Combination, OfTargets
from bdw.weighting.weighters.point import PointWeighter

USEFUL, USELESS, UNKNOWN = (8.0, 1.0), (1.0, 8.0), (1.0, 1.0)
"""(a, b) of a Beta distribution."""
LAMBDA, RHO = 0.4, 0.8


def _beta(*images: tuple[tuple[float, float], ...]) -> BetaWeighter:
    """A weighter of images with an (a, b) for every target."""
    columns = len(images[0])
    weighter = BetaWeighter(
        len(images), learning_rate=1.0, momentum=0.0, log_bound=7.0, cdf_threshold=LAMBDA, density_threshold=RHO,
        columns=columns, dtype=torch.float64,
    )  # fmt: skip
    values = np.log(np.array(images)).transpose(2, 1, 0).reshape(2, -1)
    weighter.instances.values.copy_(torch.from_numpy(values))
    return weighter


IMAGES = ((USEFUL, USEFUL, USEFUL), (USEFUL, USELESS, USELESS), (USELESS, USELESS, USELESS), (USELESS, UNKNOWN, USEFUL))


@pytest.mark.parametrize(
    ("combination", "shares", "vote_share", "useless"),
    [
        ("union", (), 0.5, [False, False, True, False]),
        ("vote", (), 0.5, [False, True, True, False]),
        ("vote", (), 0.7, [False, True, True, True]),
        ("vote", (2.0, 1.0, 1.0), 0.5, [False, False, True, False]),  # exactly half of the votes
        ("vote", (), 1.0, [False, True, True, True]),
    ],
)
def test_who_goes(combination: Combination, shares: tuple[float, ...], vote_share: float, useless: list[bool]) -> None:
    assert OfTargets(_beta(*IMAGES), combination, shares, vote_share).useless().tolist() == useless


@pytest.mark.parametrize("shares", [(1.0, 1.0, 1.0), (5.0, 1.0, 1.0), (1.0, 6.0, 6.0)])
def test_the_mean_follows_the_rule_on_the_mixture(shares: tuple[float, ...]) -> None:
    """The share of the mixed density below lambda, by scipy."""
    below = np.array([[scipy.stats.beta.cdf(LAMBDA, a, b) for a, b in image] for image in IMAGES])
    expected = below @ (np.array(shares) / sum(shares)) > RHO
    found = OfTargets(_beta(*IMAGES), "mean", shares).useless()
    np.testing.assert_array_equal(found, expected)
    assert 0 < expected.sum() < len(IMAGES)


def test_point_weights_go_by_their_mean_once_they_were_judged() -> None:
    weighter = PointWeighter(3, learning_rate=1.0, momentum=0.0, threshold=0.3, columns=2)
    assert not OfTargets(weighter, "mean").useless().any(), "nothing was learnt yet"
    rows = torch.arange(2)
    weighter.update(weighter.sample(rows, torch.Generator()), -torch.tensor([[0.5, 0.0], [0.5, 0.4]]))
    assert OfTargets(weighter, "mean").useless().tolist() == [True, False, False]
    assert OfTargets(weighter, "mean", (3.0, 1.0)).useless().tolist() == [False, False, False]
    assert OfTargets(weighter, "union").useless().tolist() == [False, False, False]


@pytest.mark.parametrize("combination", ["union", "mean"])
def test_the_table_is_of_what_is_trained_on(combination: Combination) -> None:
    columns = _beta(*IMAGES).column_tables()
    means, variances = (np.stack([getattr(each, name) for each in columns], axis=1) for name in ("mean", "variance"))
    found = OfTargets(_beta(*IMAGES), combination, (2.0, 1.0, 1.0)).table()
    if combination == "union":
        np.testing.assert_array_equal(found.mean, means.max(axis=1))
        np.testing.assert_array_equal(found.a / (found.a + found.b), found.mean)
    else:
        np.testing.assert_allclose(found.mean, means @ [0.5, 0.25, 0.25], rtol=1e-14)
        np.testing.assert_allclose(found.variance, variances @ [0.25, 0.0625, 0.0625], rtol=1e-14)
        assert np.isnan(found.a).all()


def test_equal_point_weights_share_what_they_do_together() -> None:
    """Like the derivative of torch.amax: all weights are 0 at the start, and no column may learn alone."""
    weighter = PointWeighter(1, learning_rate=1.0, momentum=0.0, threshold=0.3, columns=2)
    shared = OfTargets(weighter, "union")
    shared.update(shared.sample(torch.tensor([0]), torch.Generator()), torch.tensor([[-0.4, -0.2]]))
    np.testing.assert_allclose([each.mean[0] for each in shared.column_tables()], [0.2, 0.1], rtol=1e-6)


def test_weights_that_only_prune_are_one_number_each() -> None:
    sample = EqualLoss(OfTargets(_beta(*IMAGES), "union")).sample(torch.arange(4), torch.Generator())
    assert sample.weights.tolist() == [1.0] * 4
