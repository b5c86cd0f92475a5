"""What every weighter must do, whatever it learns; normalised by their batch's mean, or without a say in the loss, they
must do the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from bdw.config import WeighterConfig
from bdw.errors import InputError
from bdw.weighting import registry as weighters
from bdw.weighting.keep_mask import KeepMask
from bdw.weighting.weighters.counts import CountsWeighter
from bdw.weighting.weighters.equal_loss import EqualLoss
from bdw.weighting.weighters.protocol import Learns, Weighter, WeightSample

N, K = 30, 8


OPTIONS: dict[str, dict[str, bool]] = {
    "plain": {},
    "normalised": {"normalise_weights": True},
    "equal loss": {"weighted_loss": False},
}
REFUSED = (("l2rw", "equal loss"), ("nearest-neighbour", "equal loss"))


@pytest.fixture(
    params=[pair for pair in itertools.product(weighters.available(), OPTIONS) if pair not in REFUSED],
    ids=lambda pair: "-".join(pair),
)
def build(request: pytest.FixtureRequest, make_weighter: Callable[..., Weighter]) -> Callable[[], Weighter]:
    name, option = request.param
    return lambda: make_weighter(weighter=name, **OPTIONS[option])


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"weighter": "betta"}, r"weighter: 'betta' is not known \(did you mean 'beta'\?\); allowed: beta, counts, "),
        ({"weighter": "beta", "cdf_threshold": 0.6}, r"cdf_threshold \(lambda\): 0\.6 is .*; allowed: lambda <="),
        ({"weighter": "counts", "cdf_threshold": 0.6}, r"cdf_threshold \(lambda\): 0\.6 is .*; allowed: lambda <="),
        ({"weighter": "l2rw", "weighted_loss": False}, r"weighted_loss: false .* weighter 'l2rw'.*; allowed: true"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_one_line(fields: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError, match=line) as refusal:
        weighters.check(WeighterConfig(**fields))
    assert "\n" not in str(refusal.value)


def test_learnt_weights_may_neither_count_nor_prune() -> None:
    """Whoever records them wants to know what they would have pruned."""
    weighters.check(WeighterConfig(weighter="beta", weighted_loss=False, prune=False))


def test_weights_that_do_not_count_need_no_division(make_weighter: Callable[..., Weighter]) -> None:
    found = make_weighter(weighter="counts", weighted_loss=False, normalise_weights=True)
    assert isinstance(found, EqualLoss)
    assert isinstance(found.inner, CountsWeighter)


def _step(weighter: Weighter, rows: torch.Tensor, generator: torch.Generator, gradient: torch.Tensor) -> WeightSample:
    """A step as `train_step` orders it."""
    if weighter.learns is Learns.BEFORE_UPDATE:
        weighter.update(WeightSample(rows, torch.zeros(len(rows), dtype=torch.float64)), gradient)
    sample = weighter.sample(rows, generator)
    if weighter.learns is Learns.AFTER_UPDATE:
        weighter.update(sample, gradient)
    return sample


def _train(weighter: Weighter, steps: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        rows = torch.randperm(N, generator=generator)[:K]
        _step(weighter, rows, generator, torch.randn(K, generator=generator, dtype=torch.float64))
    weighter.end_epoch()


def test_samples_are_weights_of_the_asked_instances(build: Callable[[], Weighter]) -> None:
    rows = torch.tensor([3, 7, 1])
    weighter, generator = build(), torch.Generator().manual_seed(0)
    for _ in range(3):
        sample = _step(weighter, rows, generator, torch.tensor([1.0, -2.0, 0.5]).double())
        assert torch.equal(sample.indices, rows)
        assert sample.weights.shape == (3,)
        assert sample.weights.dtype == torch.float64
        assert bool((sample.weights >= 0).all())
        assert bool(sample.weights.isfinite().all())


def test_the_table_has_a_row_for_every_instance(build: Callable[[], Weighter]) -> None:
    weighter = build()
    for steps in (0, 10):
        _train(weighter, steps, seed=1)
        table = weighter.table()
        for column in (table.a, table.b, table.mean, table.variance):
            assert column.shape == (N,)
            assert column.dtype == np.float64
        assert np.isfinite(table.mean).all()
        assert (table.mean >= 0).all()
        assert (table.variance >= 0).all()
        assert weighter.useless().shape == (N,)
        assert weighter.useless().dtype == np.bool_


def test_the_table_is_a_copy(build: Callable[[], Weighter]) -> None:
    weighter = build()
    before = weighter.table().mean.copy()
    _train(weighter, 0, seed=1)
    weighter.table().mean[:] = 7
    np.testing.assert_array_equal(weighter.table().mean, before)


def test_nothing_is_useless_before_anything_is_known(build: Callable[[], Weighter]) -> None:
    """A weighter that learns knows nothing at the start; fixed weights know all that they ever will."""
    weighter = build()
    fixed = weighter.learns is Learns.NEVER
    np.testing.assert_array_equal(weighter.useless(), (weighter.table().mean == 0) & fixed)


def test_same_seed_same_table_and_state_continues_bit_for_bit(build: Callable[[], Weighter]) -> None:
    whole, first, second = (build() for _ in range(3))
    _train(whole, 6, seed=2)
    _train(whole, 6, seed=3)
    _train(first, 6, seed=2)
    second.load_state_dict(first.state_dict())
    _train(second, 6, seed=3)
    for expected, found in zip(vars(whole.table()).values(), vars(second.table()).values(), strict=True):
        np.testing.assert_array_equal(expected, found)
    np.testing.assert_array_equal(whole.useless(), second.useless())


def test_frozen_instances_do_not_move(build: Callable[[], Weighter]) -> None:
    weighter = build()
    _train(weighter, 6, seed=4)
    gone = torch.tensor([0, 5])
    weighter.freeze(gone)
    before = weighter.table().mean[gone.numpy()]
    generator = torch.Generator().manual_seed(5)
    for _ in range(4):
        _step(weighter, torch.tensor([1, 2, 3]), generator, torch.ones(3, dtype=torch.float64))
    weighter.end_epoch()
    np.testing.assert_array_equal(weighter.table().mean[gone.numpy()], before)


def test_a_harmful_instance_ends_below_a_helpful_one_unless_weights_are_fixed(build: Callable[[], Weighter]) -> None:
    weighter, generator = build(), torch.Generator().manual_seed(0)
    rows, gradient = torch.tensor([4, 9]), torch.tensor([1.0, -1.0], dtype=torch.float64)
    start = weighter.table().mean[rows.numpy()]
    for _ in range(10):
        _step(weighter, rows, generator, gradient)
    weighter.end_epoch()
    harmful, helpful = weighter.table().mean[rows.numpy()]
    if weighter.learns is Learns.NEVER:
        np.testing.assert_array_equal([harmful, helpful], start)
    else:
        assert harmful < helpful


def test_sampling_leaves_the_global_generator_alone(build: Callable[[], Weighter]) -> None:
    weighter = build()
    before = torch.get_rng_state()
    weighter.sample(torch.arange(K), torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_what_is_pruned_stays_pruned(build: Callable[[], Weighter]) -> None:
    """Over six epochs on what is kept, in which every other image harms and weights learn fast."""
    weighter, mask, generator = build(), KeepMask(N, min_kept=4), torch.Generator().manual_seed(6)
    kept = [mask.count]
    for epoch in range(1, 7):
        gone, before = (~mask.kept).numpy(), weighter.table().mean
        for rows in mask.kept.nonzero().flatten().split(K):
            harm = torch.where(rows % 2 == 0, 5.0, -5.0) + torch.randn(len(rows), generator=generator)
            _step(weighter, rows, generator, harm.double())
        weighter.end_epoch()
        np.testing.assert_array_equal(weighter.table().mean[gone], before[gone])
        weighter.freeze(mask.prune(weighter.useless(), weighter.table().mean, epoch))
        assert not mask.kept.numpy()[gone].any()
        kept.append(mask.count)
    assert kept == sorted(kept, reverse=True)
    if weighter.learns is Learns.AFTER_UPDATE:
        assert kept[-1] < N
        assert bool(mask.kept[1::2].any()), "what helps is not all pruned"


@pytest.mark.parametrize("name", weighters.available())
def test_who_does_not_learn_from_the_draw_learns_the_same_from_any(
    name: str, make_weighter: Callable[..., Weighter]
) -> None:
    """And needs no draw before it, so that nothing is drawn where weights only prune."""
    drawn, undrawn = (make_weighter(weighter=name) for _ in range(2))
    if drawn.learns_from_draw:
        assert name in ("beta", "point")
        return
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        rows = torch.randperm(N, generator=generator)[:K]
        gradient = torch.randn(K, generator=generator, dtype=torch.float64)
        drawn.update(drawn.sample(rows, generator) if drawn.learns is Learns.AFTER_UPDATE else _ones(rows), gradient)
        undrawn.update(_ones(rows), gradient)
    for weighter in (drawn, undrawn):
        weighter.end_epoch()
    for name, value in drawn.state_dict().items():
        assert torch.equal(value, undrawn.state_dict()[name])


def _ones(rows: torch.Tensor) -> WeightSample:
    return WeightSample(rows, torch.ones(len(rows), dtype=torch.float64))
