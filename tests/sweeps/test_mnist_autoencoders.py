"""Table 1's entry as a user runs it, on small files in the layout of the real ones; and a run on the real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bdw.config import presets
from bdw.training.trainer import Trainer
from sweeps.mnist_autoencoders import main


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    """Three sets of 600 + 50 images, ten classes; bright, dark and noisy."""
    root = tmp_path / "data"
    root.mkdir()
    rng = np.random.default_rng(0)
    for name, low, high in (("mnist", 0, 80), ("fashion-mnist", 120, 200), ("kmnist", 0, 255)):
        for split, count in (("train", 600), ("test", 50)):
            images = rng.integers(low, high, (count, 28, 28), dtype=np.uint8)
            np.savez(root / f"{name}-{split}.npz", images=images, labels=np.arange(count) % 10)
    return root


@pytest.mark.long
def test_smoke(tmp_path: Path, data_root: Path, run_entry: Callable[..., str]) -> None:
    arguments = ["--data-root", str(data_root), "--smoke", "--storage-path", str(tmp_path)]
    arguments += ["--name", "small", "--targets", "mnist", "kmnist", "--methods", "Oracle", "VAE", "BDW", "L2RW"]
    said = run_entry(main, arguments)
    sweep = tmp_path / "small"
    assert said.splitlines()[-1] == f"report: {sweep / 'report.html'}"
    results = pd.read_parquet(sweep / "results.parquet")
    losses = results[results["metric"] == "pretext_loss"]
    assert not losses["higher_is_better"].any()
    assert set(losses["method"]) == {"Oracle", "VAE", "BDW", "L2RW"}
    assert set(losses["domain"]) == {"mnist", "kmnist"}
    for name in ("table_1.md", "table_1.csv", "table_1.pdf"):
        assert (sweep / name).is_file()
    for name in ("table_1", "figure_1a_mnist", "figure_1b_kmnist"):
        assert (sweep / f"{name}.png").stat().st_size > 5_000
    table = (sweep / "table_1.md").read_text()
    assert "Not the paper's settings" in table
    assert "epochs 2 (paper: 100)" in table
    assert "mnist: 100 target images to train on" in table
    page = (sweep / "report.html").read_text()
    assert "epochs 2 (paper: 100)" in page
    assert "Table 1" in page
    assert "Each method's best complete trial" not in page, "losses on different targets are not comparable"
    oracle = losses[(losses["method"] == "Oracle") & (losses["domain"] == "mnist")].iloc[0]
    weights = pd.read_parquet(sweep / oracle["run"] / "instance_weights.parquet")
    assert (weights["kept"] == (weights["kind"] == "mnist")).all()

    assert "  epoch " not in run_entry(main, arguments), "a finished sweep runs nothing again"


@pytest.mark.long
def test_selectors_are_compared_by_name(tmp_path: Path, data_root: Path, run_entry: Callable[..., str]) -> None:
    arguments = ["--data-root", str(data_root), "--smoke", "--storage-path", str(tmp_path), "--name", "chosen"]
    arguments += ["--targets", "mnist", "--methods", "VAE", "random selected_share=0.5"]
    near = "Near: nearest-neighbour selected_share=0.5 selector.features=pixels"
    run_entry(main, [*arguments, near])
    results = pd.read_parquet(tmp_path / "chosen" / "results.parquet")
    losses = results[results["metric"] == "pretext_loss"].set_index("method")
    assert set(losses.index) == {"VAE", "random selected_share=0.5", "Near"}
    assert losses["kept_fraction"].round(3).to_dict() == {"VAE": 1.0, "random selected_share=0.5": 0.5, "Near": 0.5}
    costs = results[results["metric"] == "selection_images"].set_index("method")["value"]
    assert costs.to_dict() == {"random selected_share=0.5": 0.0, "Near": costs["Near"]}
    assert costs["Near"] > 0


@pytest.mark.long
def test_the_preset_trains_on_the_real_images(tmp_path: Path, shared_data: Path) -> None:
    config = presets.build("mnist_autoencoders").replace(
        data_root=str(shared_data), cache_dir=str(tmp_path), run_dir=str(tmp_path / "run"), target="kmnist",
        max_source=3000, epochs=3,
    )  # fmt: skip
    trainer = Trainer(config)
    assert len(trainer.problem.target.train) + len(trainer.problem.target.validation) == 1600
    assert len(trainer.problem.target.test) == 2000
    history = list(trainer.epochs())
    assert history[-1].validation_score < history[0].validation_score
    assert np.isnan(history[-1].pretext_accuracy)
