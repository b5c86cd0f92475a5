"""Evidence summed up visit by visit against numpy over all visits, and directions whose signal is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from bdw.diagnostics.visit_statistics import VisitStatistics

N, K, STEPS = 30, 5, 60


def filled(seed: int = 0) -> tuple[VisitStatistics, list[torch.Tensor], list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    evidence, batches, values = VisitStatistics(N), [], []
    for _ in range(STEPS):
        rows = torch.randperm(N - 1, generator=generator)[:K]  # the last one is never visited
        said = 3 + torch.randn(K, generator=generator, dtype=torch.float64)
        evidence.add(rows, said.float(), K)
        batches.append(rows)
        values.append(said.float().double())
    return evidence, batches, values


def test_sums_are_those_of_all_visits() -> None:
    evidence, batches, values = filled()
    visits, deviations, positives = evidence.visits(), evidence.deviations(), evidence.positives()
    rows = np.concatenate([batch.numpy() for batch in batches])
    said = np.concatenate([value.numpy() for value in values])
    less_mean = np.concatenate([(value - value.mean()).numpy() for value in values])
    for i in range(N):
        own = said[rows == i]
        assert visits.counts[i] == deviations.counts[i] == len(own)
        assert positives[i] == (own > 0).sum()
        if len(own):
            assert visits.means[i] == pytest.approx(own.mean(), rel=1e-5)
            assert visits.squares[i] == pytest.approx(np.square(own - own.mean()).sum(), rel=1e-4, abs=1e-5)
            others = less_mean[rows == i]
            assert deviations.means[i] == pytest.approx(others.mean(), rel=1e-4, abs=1e-5)
            assert deviations.squares[i] == pytest.approx(np.square(others - others.mean()).sum(), rel=1e-4, abs=1e-5)
    assert visits.counts[-1] == visits.means[-1] == visits.squares[-1] == 0


def test_steps_are_the_last_epochs() -> None:
    evidence, _, values = filled()
    evidence.end_epoch()
    assert evidence.steps().f == pytest.approx(stats.f_oneway(*[value.numpy() for value in values]).statistic)
    evidence.add(torch.arange(2), torch.tensor([1.0, 2.0]), 2)
    evidence.add(torch.arange(3), torch.tensor([1.0, 2.0, 5.0]), 3)
    evidence.end_epoch()
    expected = stats.f_oneway([1, 2], [1, 2, 5]).statistic
    assert evidence.steps().f == pytest.approx(expected)
    evidence.end_epoch()  # which learnt nothing
    assert evidence.steps().f == pytest.approx(expected)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_the_cosine_is_the_share_of_the_direction_that_is_no_noise(share: float) -> None:
    """v = mu + noise in 2,000 dimensions, |mu|^2 a known share of E|v|^2."""
    generator = torch.Generator().manual_seed(1)
    dimensions, pairs = 2000, 400
    mu = torch.full((dimensions,), math.sqrt(share / (1 - share)) if share else 0.0)
    evidence = VisitStatistics(1)
    for _ in range(pairs + 1):
        v = mu + torch.randn(dimensions, generator=generator)
        evidence.add_direction({"a": v[:700].view(7, 100), "b": v[700:]})
    found, cosine, error = evidence.agreement()
    assert found == pairs
    assert cosine == pytest.approx(share, abs=4 * error)
    assert error < 0.003


def test_a_direction_of_zeros_agrees_with_none() -> None:
    evidence = VisitStatistics(1)
    for value in (0.0, 1.0, 0.0):
        evidence.add_direction({"a": torch.full((3,), value)})
    assert evidence.agreement()[:2] == (2, 0.0)
    assert math.isnan(VisitStatistics(1).agreement()[1])


def test_state_goes_on_bit_for_bit() -> None:
    one, _, _ = filled()
    one.add_direction({"a": torch.ones(3)})
    other = VisitStatistics(N)
    other.load_state_dict(one.state_dict())
    for evidence in (one, other):
        evidence.add(torch.arange(4), torch.tensor([0.1, -0.3, 2.0, 0.0]), 4)
        evidence.add_direction({"a": torch.tensor([0.0, 1.0, 0.5])})
        evidence.end_epoch()
    theirs = other.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in one.state_dict().items())
