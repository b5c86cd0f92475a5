"""A small run of every method."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.studies import label_usefulness


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
