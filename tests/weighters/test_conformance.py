"""What every weighter must do, whatever it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bdw import weighters
from bdw.config import WeighterConfig
from bdw.errors import InputError
from bdw.weighters import Weighter

N, K = 30, 8


@pytest.fixture(params=weighters.available())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _build(name: str) -> Weighter:
    return weighters.build(N, WeighterConfig(weighter=name))


def _train(weighter: Weighter, steps: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        rows = torch.randperm(N, generator=generator)[:K]
        sample = weighter.sample(rows, generator)
        if weighter.learns:
            weighter.update(sample, torch.randn(K, generator=generator, dtype=torch.float64))
    weighter.end_epoch()


def test_samples_are_weights_of_the_asked_instances(name: str) -> None:
    rows = torch.tensor([3, 7, 1])
    sample = _build(name).sample(rows, torch.Generator().manual_seed(0))
    assert torch.equal(sample.indices, rows)
    assert sample.weights.shape == (3,)
    assert bool((sample.weights >= 0).all())
    assert bool(sample.weights.isfinite().all())


def test_the_table_has_a_row_for_every_instance(name: str) -> None:
    weighter = _build(name)
    _train(weighter, 10, seed=1)
    table = weighter.table()
    for column in (table.a, table.b, table.mean, table.variance):
        assert column.shape == (N,)
    assert np.isfinite(table.mean).all()
    assert (table.variance >= 0).all()
    assert weighter.useless().shape == (N,)
    assert weighter.useless().dtype == np.bool_


def test_nothing_is_useless_before_anything_was_learnt(name: str) -> None:
    assert not _build(name).useless().any()


def test_same_seed_same_table_and_state_continues_bit_for_bit(name: str) -> None:
    whole, first, second = (_build(name) for _ in range(3))
    _train(whole, 6, seed=2)
    _train(whole, 6, seed=3)
    _train(first, 6, seed=2)
    second.load_state_dict(first.state_dict())
    _train(second, 6, seed=3)
    for expected, found in zip(vars(whole.table()).values(), vars(second.table()).values(), strict=True):
        np.testing.assert_array_equal(expected, found)


def test_frozen_instances_do_not_move(name: str) -> None:
    weighter = _build(name)
    _train(weighter, 6, seed=4)
    gone = torch.tensor([0, 5])
    weighter.freeze(gone)
    before = weighter.table().mean[gone.numpy()]
    generator = torch.Generator().manual_seed(5)
    for _ in range(4):
        sample = weighter.sample(torch.tensor([1, 2, 3]), generator)
        if weighter.learns:
            weighter.update(sample, torch.ones(3, dtype=torch.float64))
    weighter.end_epoch()
    np.testing.assert_array_equal(weighter.table().mean[gone.numpy()], before)


def test_sampling_leaves_the_global_generator_alone(name: str) -> None:
    before = torch.get_rng_state()
    _build(name).sample(torch.arange(K), torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_an_unknown_name_is_refused_with_a_suggestion() -> None:
    with pytest.raises(InputError, match=r"weighter: 'betta' is not known \(did you mean 'beta'\?\); allowed: beta"):
        weighters.build(N, WeighterConfig(weighter="betta"))
