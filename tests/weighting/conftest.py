"""A small planted source with a target, and whatever the config field `weighter` names, made for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bdw.config import WeighterConfig
from bdw.data import LabelledImages, PackedDataset, Problem, Target, pack_arrays
from bdw.weighting import registry
from bdw.weighting.selection.protocol import Toolkit
from bdw.weighting.weighters.protocol import Weighter

NUM_SOURCE, NUM_TARGET = 30, 12


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    return pack_arrays(
        tmp_path_factory.mktemp("packed") / "source",
        np.random.default_rng(0).integers(0, 256, (NUM_SOURCE, 1, 6, 6), dtype=np.uint8),
        names=[f"image-{i:02d}" for i in range(NUM_SOURCE)],
        planted=np.arange(NUM_SOURCE, dtype=np.int8) % 3 - 1,
        kinds=["?", "noise", "digit"] * (NUM_SOURCE // 3),
    )


@pytest.fixture(scope="session")
def pool(source: PackedDataset) -> Problem:
    """That source; a target of two classes."""
    images = np.random.default_rng(1).integers(0, 256, (NUM_TARGET, 1, 6, 6), dtype=np.uint8)
    split = LabelledImages(images, np.arange(NUM_TARGET) % 2)
    return Problem(source, {"target": Target(split, split, split, ("a", "b"), "key")})


@pytest.fixture
def toolkit(tmp_path: Path) -> Toolkit:
    return Toolkit(device=torch.device("cpu"), cache_dir=tmp_path / "cache", seed=0)


@pytest.fixture
def make_config(tmp_path: Path) -> Callable[..., WeighterConfig]:
    """`make_config(weighter="point", ...)`: by default `given` gets a file of weights 1 and 2, `random` a share."""

    def make(**fields: Any) -> WeighterConfig:
        if fields.get("weighter") == "given" and "weights_file" not in fields:
            path = tmp_path / "weights.csv"
            path.write_text("index,weight\n" + "".join(f"{i},{1 + i % 2}\n" for i in range(NUM_SOURCE)))
            fields["weights_file"] = str(path)
        if fields.get("weighter") == "random":
            fields.setdefault("kept_share", 0.5)
        return WeighterConfig(**fields)

    return make


MakeWeighter = Callable[..., Weighter]


@pytest.fixture
def make_weighter(pool: Problem, toolkit: Toolkit, make_config: Callable[..., WeighterConfig]) -> MakeWeighter:
    """`make_weighter(weighter="point", ...)`: what training would use with these fields."""

    def make(source: PackedDataset = pool.source, seed: int = 0, **fields: Any) -> Weighter:
        config, problem = make_config(**fields), dataclasses.replace(pool, source=source)
        registry.check(config)
        return registry.build(config, problem, dataclasses.replace(toolkit, seed=seed))

    return make
