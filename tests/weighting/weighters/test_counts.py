"""Counts of evidence: what a visit adds, what it never changes, and when the pruning rule can be sure."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch

from bdw.weighting.weighters.beta import BetaWeighter
from bdw.weighting.weighters.counts import CountsWeighter
from bdw.weighting.weighters.protocol import TakesVerdicts, WeightSample
from bdw.weighting.weighters.self_normalised import SelfNormalised

N = 6


def counts(*, evidence: float = 1.0, log_bound: float = 7.0, cdf: float = 0.1, density: float = 0.5) -> CountsWeighter:
    return CountsWeighter(
        N, evidence=evidence, log_bound=log_bound, cdf_threshold=cdf, density_threshold=density, dtype=torch.float64
    )


def visit(weighter: CountsWeighter, indices: list[int], gradient: list[float]) -> None:
    rows = torch.tensor(indices)
    weighter.update(
        WeightSample(rows, torch.full((len(rows),), 0.5, dtype=torch.float64)), torch.tensor(gradient).double()
    )


@pytest.mark.parametrize("evidence", [1.0, 0.25])
def test_a_visit_adds_to_one_side_by_its_sign_alone(evidence: float) -> None:
    weighter = counts(evidence=evidence)
    visit(weighter, [4, 0, 2], [-1e-9, 3.0, 0.0])
    visit(weighter, [0, 4, 1], [-7.0, -1.0, 5e3])
    weighter.end_epoch()
    table = weighter.table()
    np.testing.assert_allclose(table.a, 1 + evidence * np.array([1, 0, 0, 0, 2, 0]), rtol=1e-12)
    np.testing.assert_allclose(table.b, 1 + evidence * np.array([1, 1, 0, 0, 0, 0]), rtol=1e-12)


def test_many_visits_in_any_order_are_the_conjugate_posterior() -> None:
    rng = np.random.default_rng(0)
    signs = rng.choice([-1.0, 1.0], size=(40, N), p=[0.7, 0.3])
    forwards, backwards = counts(), counts()
    for row, other in zip(signs, signs[::-1], strict=True):
        visit(forwards, list(range(N)), row.tolist())
        visit(backwards, list(range(N)), other.tolist())
    helped = (signs < 0).sum(axis=0)
    for weighter in (forwards, backwards):
        weighter.end_epoch()
        np.testing.assert_allclose(weighter.table().a, 1 + helped, rtol=1e-10)
        np.testing.assert_allclose(weighter.table().mean, (1 + helped) / (2 + 40), rtol=1e-10)


def test_what_rests_stays_where_it_is() -> None:
    weighter = counts()
    visit(weighter, [1], [1.0])
    for _ in range(5):
        visit(weighter, [2], [-1.0])
    weighter.end_epoch()
    np.testing.assert_allclose(weighter.table().b, [1, 2, 1, 1, 1, 1], rtol=1e-12)


def test_counts_stay_within_the_bound() -> None:
    weighter = counts(log_bound=2.0)
    for _ in range(20):
        visit(weighter, [0], [1.0])
    assert weighter.table().b[0] == pytest.approx(math.exp(2))


@pytest.mark.parametrize(("cdf", "density"), [(0.1, 0.5), (0.25, 0.9), (0.5, 0.5)])
def test_it_prunes_when_so_many_visits_in_a_row_have_harmed(cdf: float, density: float) -> None:
    """Beta(1, 1 + n) lies below lambda by 1 - (1 - lambda)^(1 + n)."""
    needed = next(n for n in range(100) if scipy.stats.beta(1, 1 + n).cdf(cdf) > density + 1e-12)
    weighter = counts(cdf=cdf, density=density)
    for n in range(1, needed + 1):
        visit(weighter, [3], [1.0])
        assert bool(weighter.useless()[3]) == (n >= needed)
    assert 1 - (1 - cdf) ** needed <= density < 1 - (1 - cdf) ** (needed + 1)
    assert weighter.useless().sum() == 1


def judge(weighter: CountsWeighter, indices: list[int], helps: list[float]) -> None:
    weighter.judge(torch.tensor(indices, dtype=torch.int64), torch.tensor(helps))


@pytest.mark.parametrize("evidence", [1.0, 0.25, 6.0])
def test_a_verdict_is_shared_out_between_the_sides(evidence: float) -> None:
    weighter = counts(evidence=evidence)
    judge(weighter, [3, 0, 5, 1], [1.0, 0.0, 0.5, 0.75])
    judge(weighter, [1], [0.25])
    weighter.end_epoch()
    np.testing.assert_allclose(weighter.table().a, 1 + evidence * np.array([0, 1, 0, 1, 0, 0.5]), rtol=1e-12)
    np.testing.assert_allclose(weighter.table().b, 1 + evidence * np.array([1, 1, 0, 0, 0, 0.5]), rtol=1e-12)


@pytest.mark.parametrize(("helps", "gradient"), [(1.0, -3.0), (0.0, 0.1)])
def test_a_sure_verdict_is_a_visit(helps: float, gradient: float) -> None:
    judged, visited = counts(evidence=0.7), counts(evidence=0.7)
    for indices in ([4, 1], [1, 2]):
        judge(judged, indices, [helps, helps])
        visit(visited, indices, [gradient, gradient])
    for weighter in (judged, visited):
        weighter.end_epoch()
    np.testing.assert_array_equal(judged.table().a, visited.table().a)
    np.testing.assert_array_equal(judged.table().b, visited.table().b)
    np.testing.assert_array_equal(judged.useless(), visited.useless())


def test_no_verdict_changes_nothing() -> None:
    weighter = counts()
    judge(weighter, [], [])
    weighter.end_epoch()
    np.testing.assert_array_equal(weighter.table().a, np.ones(N))
    np.testing.assert_array_equal(weighter.table().b, np.ones(N))


def test_a_wrapped_weighter_takes_verdicts_where_its_inner_one_does() -> None:
    inner = counts(evidence=2.0)
    wrapped = SelfNormalised(inner)
    assert isinstance(wrapped, TakesVerdicts)
    wrapped.judge(torch.tensor([2]), torch.tensor([0.25]))
    wrapped.end_epoch()
    assert (inner.table().a[2], inner.table().b[2]) == (pytest.approx(1.5), pytest.approx(2.5))
    other = BetaWeighter(N, learning_rate=1.0, momentum=0.0, log_bound=7.0, cdf_threshold=0.1, density_threshold=0.5)
    assert not isinstance(other, TakesVerdicts)
    with pytest.raises(AssertionError):
        SelfNormalised(other).judge(torch.tensor([2]), torch.tensor([0.25]))
