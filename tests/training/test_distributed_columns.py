"""Two workers: weights of images and tasks, of tasks and of several targets, and valuations for further targets, are
the same on both, and a resumed run ends bit for bit where an undisturbed one does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

from bdw.config import RunConfig
from bdw.training.trainer import Trainer
from tests.workers import on_workers

BASE: dict[str, Any] = {
    "epochs": 3, "max_source": 60, "batch_size": 20, "device": "cpu", "meta_loss": "pretext", "target_batch": 8,
    "cdf_threshold": 0.4, "density_threshold": 0.41, "evaluate_every": 99, "max_iterations": 5,
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "image_and_task": {
        "pretext": "multitask", "pretext.tasks": ["rotation", "simclr", "vae"], "weights_per": "image_and_task",
        "weight_lr": 100.0,
    },
    "task": {"pretext": "multitask", "pretext.tasks": ["rotation", "simclr"], "weights_per": "task"},
    "targets": {
        "targets": ["digits", "other.npz"], "weighter": "counts", "target_margin": 0.5, "weight_lr": 1.0,
        "direction_parameters": "head", "target_statistics": "source", "combine_targets": "mean",
    },
    "valued": {
        "weighter": "uniform", "value_for": ["digits"], "target_margin": 0.5, "direction_parameters": "head",
        "target_statistics": "source", "weight_lr": 1.0,
    },
}  # fmt: skip


def _run(config: dict[str, Any]) -> dict[str, torch.Tensor]:
    trainer = Trainer(RunConfig().replace(**config))
    list(trainer.epochs())
    learner = trainer.learner
    weighter = learner.valuations[0].weighter if learner.valuations else learner.weighter
    return {
        "table": weighter.state_dict()["parameters"],
        "kept": trainer.mask.told,
        "model": torch.cat([value.detach().flatten() for value in learner.model.parameters()]),
    }


def _whole_and_in_parts(folder: str) -> dict[str, Any]:
    found = {}
    for kind, own in KINDS.items():
        config = BASE | own
        if "targets" in own:
            config["targets"] = ["digits", f"{folder}/other.npz"]
        found[kind] = _run(config | {"run_dir": f"{folder}/{kind}"})
        parts = config | {"run_dir": f"{folder}/{kind}-parts"}
        _run(parts | {"epochs": 2})
        found[f"{kind}, resumed"] = _run(parts | {"resume": True})
    return found


def test_two_workers_agree_and_go_on(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    digits = load_digits()
    images = (255 - 8 * digits.images[:120]).clip(0, 255).astype(np.uint8)
    np.savez(tmp_path / "runs" / "other.npz", images=images, labels=digits.target[:120])
    mine, theirs = on_workers(2, tmp_path / "results", _whole_and_in_parts, str(tmp_path / "runs"))
    for kind in KINDS:
        for other in (theirs[kind], mine[f"{kind}, resumed"], theirs[f"{kind}, resumed"]):
            for name, value in mine[kind].items():
                assert torch.equal(value, other[name]), f"{kind}: {name}"
        table = mine[kind]["table"]
        assert float((table - table[:, :1]).abs().max()) > 0, f"{kind}: nothing was learnt"
    pairs = mine["image_and_task"]["kept"]
    assert bool((pairs.any(dim=1) & ~pairs.all(dim=1)).any()), "no image is kept for some tasks alone"
