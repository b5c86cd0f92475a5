"""A small planted source with a target, and contexts that every weighter can be built from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bdw.config import WeighterConfig
from bdw.data import PackedDataset, pack_arrays
from bdw.weighting.weighters.protocol import WeighterContext

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


MakeContext = Callable[..., WeighterContext]


@pytest.fixture
def make_context(source: PackedDataset, tmp_path: Path) -> MakeContext:
    """`make_context(weighter="point", ...)`: config fields by name; by default `given` gets a file of weights 1 and 2,
    `random` a share."""

    def make(source: PackedDataset = source, **fields: Any) -> WeighterContext:
        if fields.get("weighter") == "given" and "weights_file" not in fields:
            path = tmp_path / "weights.csv"
            path.write_text("index,weight\n" + "".join(f"{i},{1 + i % 2}\n" for i in range(len(source))))
            fields["weights_file"] = str(path)
        if fields.get("weighter") == "random":
            fields.setdefault("kept_share", 0.5)
        return WeighterContext(
            config=WeighterConfig(**fields),
            source=source,
            target_images=np.random.default_rng(1).integers(0, 256, (NUM_TARGET, 1, 6, 6), dtype=np.uint8),
            cache_dir=tmp_path / "cache",
            device=torch.device("cpu"),
        )

    return make
