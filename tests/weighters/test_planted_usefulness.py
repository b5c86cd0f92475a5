"""A toy in which it is known which source images help, and whether pixels show it.

Rotation prediction with the pretext loss on target images as meta-loss. Useful source images stand upright like the
target's; useless ones stand on their heads, so that their rotations are labelled the wrong way round. Once "upright"
means "wilder noise in the upper half", and source images are of all brightnesses: what pixel distance sees is
brightness, which says nothing. Once it means "a bright upper half", which every distance sees.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bdw.config import RunConfig
from bdw.data import LabelledImages, Problem, pack_arrays
from bdw.data.problem import Target
from bdw.trainer import Trainer

pytestmark = pytest.mark.slow

SIDE, NUM_SOURCE, NUM_TARGET = 12, 400, 120
SEEDS = (0, 1, 2)


def upright(count: int, rng: np.random.Generator, *, visible: bool, brightness_range: float = 0.0) -> NDArray[np.uint8]:
    noise = rng.normal(size=(count, 1, SIDE, SIDE))
    top = np.arange(SIDE)[:, None] < SIDE // 2
    brightness = 128 + rng.uniform(-brightness_range, brightness_range, (count, 1, 1, 1))
    pixels = 128 + 25 * noise + 60 * top if visible else brightness + noise * np.where(top, 30, 6)
    return pixels.clip(0, 255).astype(np.uint8)


def problem(folder: Path, seed: int, *, visible: bool) -> Problem:
    rng = np.random.default_rng(seed)
    images = upright(NUM_SOURCE, rng, visible=visible, brightness_range=70)
    useful = rng.permutation(NUM_SOURCE) % 2
    images[useful == 0] = images[useful == 0, :, ::-1, ::-1]
    source = pack_arrays(
        folder / "source", images, planted=useful.astype(np.int8), kinds=["upright" if u else "turned" for u in useful]
    )
    parts = []
    for _ in range(3):
        parts.append(LabelledImages(upright(NUM_TARGET, rng, visible=visible), np.arange(NUM_TARGET) % 2))
    return Problem(source, Target(*parts, classes=("a", "b"), key="k"))


def auroc(folder: Path, toy: Problem, weighter: str, seed: int) -> float:
    """Of the mean weight, after training; nothing is pruned, so that all images are judged alike."""
    config = RunConfig.from_flat(
        {
            "run_dir": str(folder / weighter), "image_size": SIDE, "crop_size": SIDE, "crop_padding": 0,
            "meta_loss": "pretext", "target_batch": 40, "weighter": weighter, "weight_lr": 10.0, "prune": False,
            "batch_size": 40, "epochs": 12, "learning_rate": 0.05, "seed": seed, "evaluate_every": 12, "device": "cpu",
        }
    )  # fmt: skip
    trainer = Trainer(config, problem=toy)
    return [report.planted_auroc for report in trainer.epochs()][-1]


@pytest.mark.parametrize("seed", SEEDS)
def test_learnt_weights_find_what_pixels_do_not_show(tmp_path: Path, seed: int) -> None:
    toy = problem(tmp_path, seed, visible=False)
    found = {name: auroc(tmp_path, toy, name, seed) for name in ("nearest-neighbour", "point", "beta")}
    assert 0.4 < found["nearest-neighbour"] < 0.6
    assert found["point"] > found["nearest-neighbour"] + 0.2
    assert found["beta"] > found["nearest-neighbour"] + 0.2


@pytest.mark.parametrize("seed", SEEDS)
def test_learnt_weights_lose_nothing_where_pixels_show_it(tmp_path: Path, seed: int) -> None:
    toy = problem(tmp_path, seed, visible=True)
    found = {name: auroc(tmp_path, toy, name, seed) for name in ("nearest-neighbour", "point", "beta")}
    assert found["nearest-neighbour"] > 0.99
    assert found["point"] > 0.95
    assert found["beta"] > 0.95
