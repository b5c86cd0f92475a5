"""A labelled pool with a target, an encoder that is a fixed projection, and the config of every selector for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bdw.config import RunConfig, SelectorConfig
from bdw.config.selector import selector_options_of
from bdw.data import LabelledImages, PackedDataset, Problem, Target, pack_arrays
from bdw.weighting.selection.protocol import Toolkit

COUNT, SIDE, LABELS = 120, 8, 4
"""Images of the pool, their side in pixels, and labels: image i has the label i % 4, and is brighter the higher it
is."""
SMALL: dict[str, dict[str, Any]] = {
    "hierarchical": {"levels": [12, 4], "resampling": 2},
    "neural-data-server": {"experts": 3, "expert_images": 96, "expert_batch": 16},
    "prototypes": {"clusters": 6},
}
"""Options for a pool of so few images."""

MakeSelector = Callable[..., SelectorConfig]


class Projection:
    """Features (n, 5): fixed random sums of the pixels."""

    key = "projection"

    def __init__(self) -> None:
        self.images = 0

    def __call__(self, images: NDArray[np.uint8], device: torch.device) -> NDArray[np.float32]:
        self.images += len(images)
        flat = images.reshape(len(images), -1).astype(np.float64) / 255 - 0.5
        matrix = np.random.default_rng(0).normal(size=(flat.shape[1], 5))
        return np.einsum("np,pd->nd", flat, matrix).astype(np.float32)


@pytest.fixture(scope="session")
def labelled_pool(tmp_path_factory: pytest.TempPathFactory) -> Problem:
    """Images of four labels, a target whose images are like those of labels 2 and 3."""
    rng = np.random.default_rng(0)
    labels = np.arange(COUNT) % LABELS

    def images(brightness: NDArray[np.int64]) -> NDArray[np.uint8]:
        noise = rng.integers(0, 60, (len(brightness), 1, SIDE, SIDE))
        return (noise + 50 * brightness[:, None, None, None]).astype(np.uint8)

    source = pack_arrays(
        tmp_path_factory.mktemp("labelled") / "source",
        images(labels),
        labels=labels,
        names=[f"image-{i:03d}" for i in rng.permutation(COUNT)],
        classes=["dark", "dim", "bright", "glaring"],
        planted=(labels >= 2).astype(np.int8),
        kinds=["dark", "bright"] * (COUNT // 2),
    )
    own = np.arange(20) % 2
    split = LabelledImages(images(2 + own), own)
    return Problem(source, {"target": Target(split, split, split, ("a", "b"), "key")})


@pytest.fixture
def permuted(labelled_pool: Problem, tmp_path: Path) -> Problem:
    """The same images with the same names in another order."""
    source = labelled_pool.source
    order = np.random.default_rng(1).permutation(COUNT)
    again = pack_arrays(
        tmp_path / "permuted",
        np.asarray(source.images)[order],
        labels=source.labels[order],
        names=[str(source.names[i]) for i in order],
        classes=source.classes,
    )
    return dataclasses.replace(labelled_pool, source=again)


@pytest.fixture
def embedding_toolkit(toolkit: Toolkit) -> Toolkit:
    """With an encoder under any name."""
    projection = Projection()
    return dataclasses.replace(toolkit, embedder=lambda features: projection)


@pytest.fixture
def make_selector(tmp_path: Path, labelled_pool: Problem) -> MakeSelector:
    """`make_selector("simcore", selected_count=10, clusters=3)`: by default by the features of an encoder."""

    def make(name: str, **values: Any) -> SelectorConfig:
        known = {field.name for field in dataclasses.fields(selector_options_of(name))}
        own = {"features": "an-encoder", **SMALL.get(name, {})}
        if name == "given":
            own["weights_file"] = str(_scores(tmp_path, labelled_pool.source))
        options = {f"selector.{key}": value for key, value in {**own, **values}.items() if key in known}
        rest = {key: value for key, value in values.items() if key not in {*known, "features"}}
        return RunConfig().replace(**{"selector": name, **rest, **options}).selector

    return make


def _scores(folder: Path, source: PackedDataset) -> Path:
    path = folder / "scores.csv"
    path.write_text("name,weight\n" + "".join(f"{name},{(7 * i) % 31 + 1}\n" for i, name in enumerate(source.names)))
    return path
