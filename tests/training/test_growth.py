"""A finished run goes on where its pool has grown: old images keep their weights, the rater scores the new ones."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bdw.config import RunConfig
from bdw.data import Problem, pack_arrays
from bdw.errors import InputError
from bdw.runs.directory import RunDirectory
from bdw.runs.export import read_table
from bdw.scoring.scorer import ScorerFiles
from bdw.training.trainer import Trainer, iterate
from tests.training.comparison import run_to_end
from tests.workers import on_workers

Grow = Callable[..., Problem]
NEW = 20


@pytest.fixture
def settings(config: RunConfig) -> RunConfig:
    """Counts by verdicts over a budget of images, as the recommended recipe has them."""
    return config.replace(
        weighter="counts", weight_lr=3.0, meta_loss="pretext", target_margin=0.5, budget_unit="images", epochs=4,
        schedule="cosine", cdf_threshold=0.5, density_threshold=0.6, min_kept=20, weighted_loss=False, resume=True,
    )  # fmt: skip


@pytest.fixture
def grow(problem: Problem, tmp_path: Path) -> Grow:
    """The problem with `NEW` more images of the same two kinds, whose names stand before, between and behind the
    others'."""

    def grown(*, name: str = "grown", change: bool = False, drop: bool = False) -> Problem:
        rng = np.random.default_rng(7)
        old = problem.source
        images = np.concatenate([old.images, rng.integers(0, 256, (NEW, 1, 12, 12), dtype=np.uint8)])
        names = [*old.names.tolist(), *(f"new-{i}" for i in range(NEW))]
        if change:
            images[3] ^= 1
        order = rng.permutation(len(images))
        order = order[order != 3] if drop else order
        source = pack_arrays(tmp_path / name, images[order], names=[names[i] for i in order])
        return dataclasses.replace(problem, source=source, cache_dir=tmp_path / "packed")

    return grown


def test_new_images_start_where_the_rater_puts_them(
    settings: RunConfig, problem: Problem, grow: Grow, caplog: pytest.LogCaptureFixture
) -> None:
    before = run_to_end(settings, problem)
    run = RunDirectory(Path(settings.output.run_dir))
    scorer = ScorerFiles.of(run).load(torch.device("cpu"))
    larger = grow()
    after = Trainer(settings, problem=larger)
    assert "source: has grown by 20 to 70 images; the run's rater scored the new ones" in caplog.text
    source = after.problem.source
    assert source.names[:50].tolist() == problem.source.names.tolist(), "images keep their numbers"
    assert sorted(source.names[50:].tolist()) == sorted(f"new-{i}" for i in range(NEW))
    np.testing.assert_array_equal(source.images[:50], problem.source.images)
    old, now = before.learner.weighter.table(), after.learner.weighter.table()
    np.testing.assert_array_equal(now.a[:50], old.a)
    np.testing.assert_array_equal(now.b[:50], old.b)
    ratings = scorer(source.images[50:])
    np.testing.assert_allclose(now.a[50:], ratings.a, rtol=1e-5)
    np.testing.assert_allclose(now.b[50:], ratings.b, rtol=1e-5)
    assert torch.equal(after.mask.kept[:50], before.mask.kept)
    useless = after.learner.weighter.useless()[50:]
    np.testing.assert_array_equal(after.mask.kept[50:].numpy(), ~useless)


def test_it_goes_on_and_says_so_once(
    settings: RunConfig, problem: Problem, grow: Grow, caplog: pytest.LogCaptureFixture
) -> None:
    """The budget of four passes is that of 70 images now, so that 80 more pass through training."""
    run_to_end(settings, problem)
    larger = grow()
    next(iterate(settings, problem=larger))
    caplog.clear()
    reports = list(iterate(settings, problem=larger))
    assert "has grown" not in caplog.text
    assert 280 <= reports[-1].instances_seen < 280 + 16
    assert list(iterate(settings, problem=larger)) == []
    run = RunDirectory(Path(settings.output.run_dir))
    table = read_table(run.instance_weights).to_pydict()
    assert table["name"][:50] == problem.source.names.tolist()
    assert len(table["name"]) == 70
    assert run.read_config()["source"]["count"] == 70
    assert ScorerFiles.of(run)


def test_without_more_budget_it_leaves_the_new_weights(settings: RunConfig, problem: Problem, grow: Grow) -> None:
    fixed = settings.replace(budget_images=200)
    run_to_end(fixed, problem)
    run = RunDirectory(Path(settings.output.run_dir))
    seen = run.read_metrics()[-1]["instances_seen"]
    assert list(iterate(fixed, problem=grow())) == []
    assert run.read_metrics()[-1]["instances_seen"] == seen
    assert len(read_table(run.instance_weights)) == 70


def test_what_has_not_only_grown_is_refused(settings: RunConfig, problem: Problem, grow: Grow) -> None:
    run_to_end(settings, problem)
    for other in (grow(name="changed", change=True), grow(name="dropped", drop=True)):
        with pytest.raises(InputError, match=r"source: checkpoint .* was trained on other images"):
            Trainer(settings, problem=other)


def test_a_run_without_a_rater_is_refused(settings: RunConfig, problem: Problem, grow: Grow) -> None:
    next(iterate(settings, problem=problem))
    with pytest.raises(InputError, match=r"source: it has grown by 20 image\(s\), but .* left no scorer.safetensors"):
        Trainer(settings, problem=grow())


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"weighter": "point", "target_margin": None, "weight_lr": 1.0}, "weights are no Beta distributions"),
        (
            {"record_trajectory": True, "weighter": "beta", "target_margin": None, "weight_lr": 50.0},
            "keeps something else for every image .record_trajectory",
        ),
        ({"selector": "random", "selected_share": 0.8}, "a selector chose among the images that it had before"),
        ({"diagnose_signal": True}, "keeps something else for every image .diagnose_signal"),
        ({"pretext": "instance_discrimination"}, "keeps something else for every image .task"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_run_that_keeps_more_for_every_image_is_refused(
    settings: RunConfig, problem: Problem, grow: Grow, options: dict[str, object], kept: str
) -> None:
    own = settings.replace(**options)
    run_to_end(own, problem)
    with pytest.raises(InputError, match=kept):
        Trainer(own, problem=grow())


def _resumed(config: dict[str, Any]) -> torch.Tensor:
    trainer = Trainer(RunConfig().replace(**config))
    list(trainer.epochs())
    found: torch.Tensor = trainer.learner.weighter.state_dict()["parameters"]
    return found


def test_two_workers_take_new_images_in_as_one_does(tmp_path: Path) -> None:
    """Epochs are used up, so that nothing but the rater says what the new images weigh."""

    def write(folder: Path, name: str, seed: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (12, 12), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)

    for i in range(40):
        write(tmp_path / "pool", f"{i:02}.png", i)
        write(tmp_path / "mine" / "ab"[i % 2], f"{i:02}.png", 100 + i)
    config = RunConfig().replace(
        source=str(tmp_path / "pool"), target=str(tmp_path / "mine"), run_dir=str(tmp_path / "run"), image_size=12,
        crop_size=12, batch_size=8, epochs=2, ways=2, shots=2, queries=2, weighter="counts", weight_lr=3.0,
        device="cpu", resume=True,
    )  # fmt: skip
    before = _resumed(config.flat())
    shutil.copytree(tmp_path / "run", tmp_path / "other")
    for i in range(6):
        write(tmp_path / "pool", f"{i:02}-new.png", 200 + i)
    alone = _resumed(config.flat())
    other = config.replace(run_dir=str(tmp_path / "other"))
    first, second = on_workers(2, tmp_path / "results", _resumed, other.flat())
    assert alone.shape == (2, 46)
    assert torch.equal(alone[:, :40], before)
    assert torch.equal(first, alone)
    assert torch.equal(second, alone)
