"""What every selector must do, whatever it goes by."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from bdw.config import WeighterConfig
from bdw.data import PackedDataset, Problem, pack_arrays
from bdw.errors import InputError
from bdw.weighting import registry, selection
from bdw.weighting.selection.protocol import Acts, FixedWeighting, Toolkit
from bdw.weighting.weighters.protocol import Learns

MakeConfig = Callable[..., WeighterConfig]


@pytest.fixture(params=selection.weightings())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def selector(name: str, make_config: MakeConfig) -> Iterator[FixedWeighting]:
    before = torch.get_rng_state()
    yield selection.build(make_config(weighter=name))
    assert torch.equal(torch.get_rng_state(), before), "the global generator is nobody's"


def test_one_good_weight_for_every_instance(selector: FixedWeighting, pool: Problem, toolkit: Toolkit) -> None:
    weights = selector.weights(pool, toolkit)
    assert (weights.shape, weights.dtype) == ((len(pool.source),), np.float64)
    assert np.isfinite(weights).all()
    assert (weights >= 0).all()
    assert (weights > 0).any()


def test_the_same_seed_gives_the_same_weights(selector: FixedWeighting, pool: Problem, toolkit: Toolkit) -> None:
    """Found in the cache or computed anew."""
    first = selector.weights(pool, toolkit)
    np.testing.assert_array_equal(selector.weights(pool, toolkit), first)
    elsewhere = dataclasses.replace(toolkit, cache_dir=toolkit.cache_dir / "elsewhere")
    np.testing.assert_array_equal(selector.weights(pool, elsewhere), first)


def test_only_the_oracle_looks_at_what_was_planted(
    name: str, selector: FixedWeighting, pool: Problem, toolkit: Toolkit
) -> None:
    blind = dataclasses.replace(pool, source=dataclasses.replace(pool.source, planted=None, planted_kinds=None))
    if name == "oracle":
        with pytest.raises(InputError, match="nothing is known about its images"):
            selector.weights(blind, toolkit)
    else:
        np.testing.assert_array_equal(selector.weights(blind, toolkit), selector.weights(pool, toolkit))


def test_weights_act_as_it_says(name: str, selector: FixedWeighting, pool: Problem, toolkit: Toolkit) -> None:
    weights = selector.weights(pool, toolkit)
    assert (np.ptp(weights) > 0) == (Acts.IN_LOSS in selector.acts)
    if Acts.BY_PRUNING not in selector.acts:
        assert (weights > 0).all()


def test_training_uses_them_as_they_are_and_never_learns(
    name: str, selector: FixedWeighting, pool: Problem, toolkit: Toolkit, make_config: MakeConfig
) -> None:
    config, weights = make_config(weighter=name), selector.weights(pool, toolkit)
    fixed = registry.build(config, pool, toolkit)
    assert registry.learns(config) is fixed.learns is Learns.NEVER
    np.testing.assert_array_equal(fixed.table().mean, weights)
    np.testing.assert_array_equal(fixed.useless(), weights == 0)
    rows = torch.tensor([4, 0, 29])
    np.testing.assert_array_equal(fixed.sample(rows, torch.Generator()).weights, weights[rows])


def test_its_name_is_one_that_the_config_accepts(name: str) -> None:
    assert name in registry.available()


@pytest.mark.parametrize("prune", [True, False])
def test_weights_that_could_do_nothing_are_refused(name: str, prune: bool, make_config: MakeConfig) -> None:
    acts = selection.build(make_config(weighter=name)).acts
    config = make_config(weighter=name, weighted_loss=False, prune=prune)
    if not acts or (Acts.BY_PRUNING in acts and prune):
        selection.build(config)
        return
    with pytest.raises(InputError, match=r"weighted_loss: false cannot work with .*; allowed: true, or") as refusal:
        selection.build(config)
    assert f"weighter '{name}'" in str(refusal.value)
    assert "\n" not in str(refusal.value)


BAD: dict[str, list[tuple[dict[str, object], str]]] = {
    "given": [({"weights_file": None}, "weights_file: none .*; allowed: a Parquet or CSV file")],
    "nearest-neighbour": [({"nearest_beta": 1e6}, r"nearest_beta: 1000000\.0 makes every weight 0 .*; allowed: ")],
    "oracle": [({}, "weighter: 'oracle' cannot work with the source .*; allowed: a source with planted tags")],
    "random": [({"kept_share": None}, "kept_share: weighter 'random' needs the share .*; allowed: above 0, at most 1")],
    "uniform": [],
}
"""What each refuses, and the line that says so; of the pool, that nothing is known about its images."""


def test_bad_input_is_refused_in_one_line(
    name: str, pool: Problem, toolkit: Toolkit, make_config: MakeConfig, tmp_path: Path
) -> None:
    unknown: PackedDataset = pack_arrays(tmp_path / "unknown", pool.source.images)
    for fields, line in BAD[name]:
        with pytest.raises(InputError, match=line) as refusal:
            selection.build(make_config(weighter=name, **fields)).weights(
                dataclasses.replace(pool, source=unknown), toolkit
            )
        assert "\n" not in str(refusal.value)
