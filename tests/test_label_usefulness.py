"""Curves by hand, and a small run of every method."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bdw.errors import InputError
from bdw.trajectory import Trajectory
from benchmarks import label_usefulness


def test_curves_follow_the_mean_weight_over_epochs(tmp_path: Path) -> None:
    (tmp_path / "trajectory").mkdir()
    trajectory = Trajectory(tmp_path / "trajectory")
    log_b = torch.tensor([0.0, 1.0, 2.0, 3.0])  # mean weights fall
    for epoch, logs in enumerate((log_b, -log_b), 1):
        trajectory.record(epoch, torch.stack([torch.zeros(4), logs]))
    found = label_usefulness.curves(trajectory, np.array([1, 0, 1, 0], dtype=np.int8))
    # The useful are first and third, then second and fourth: precision at them 1 and 2/3, then 1/2 and 2/4.
    assert found["auroc"] == [0.75, 0.25]
    assert found["average_precision"] == pytest.approx([5 / 6, 1 / 2], abs=1e-4)
    assert found["lift"] == pytest.approx([5 / 3, 1], abs=1e-4)


def test_every_method_is_measured_after_every_epoch(
    results: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = label_usefulness.Arguments(
        data_root=str(shared_data), data_set="cifar100", classes=5, source_per_class=2, train_per_class=16,
        held_out_per_class=4, seeds=(3,), epochs=2, image_size=16, save="x",
    )  # fmt: skip
    label_usefulness.main(arguments)
    saved = json.loads((results / "x.json").read_text())
    assert [run["method"] for run in saved["runs"]] == list(arguments.methods)
    assert len({tuple(run["classes"]) for run in saved["runs"]}) == 1, "methods of a seed have the same classes"
    for run, means in zip(saved["runs"], saved["means"], strict=True):
        assert run["base_rate"] == 0.05
        assert len(run["auroc"]) == len(run["lift"]) == 2
        assert all(0 < value < 1 for value in run["auroc"])
        assert 0 < run["told_lift"] <= 20
        assert run["lift"] == pytest.approx([20 * value for value in run["average_precision"]], abs=2e-3)
        assert (means["method"], means["seeds"], means["lift"]) == (run["method"], 1, run["lift"])
    assert len({tuple(run["auroc"]) for run in saved["runs"]}) == 4
    assert "seed 3" in capsys.readouterr().out


def test_only_what_has_a_trajectory_is_taken() -> None:
    with pytest.raises(InputError, match="methods: 'Counts' is not known; allowed: BDW"):
        label_usefulness.main(label_usefulness.Arguments(data_root="none", methods=("Counts",)))
