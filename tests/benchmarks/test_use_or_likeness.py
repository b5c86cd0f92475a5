"""A small run, in which every domain is trained on alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.studies import use_or_likeness


def test_every_domain_is_trained_on_alone_and_alike(
    results: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    domains = ("gtsrb", "kmnist", "cifar10", "pedestrians")
    arguments = use_or_likeness.Arguments(
        data_root=str(shared_data), domains=domains, targets=("kmnist",), methods=("BDW meta_loss=pretext",),
        seeds=(0,), epochs=2, max_source=700, save="x",
    )  # fmt: skip
    use_or_likeness.main(arguments)
    saved = json.loads((results / "x.json").read_text())
    assert [run["domain"] for run in saved["runs"]] == list(domains)
    (steps,) = {(run["images"], run["instances"]) for run in saved["runs"]}
    assert steps[0] > 64
    assert steps[1] == 2 * steps[0]
    assert len({run["pretext_loss"] for run in saved["runs"]}) == 4
    weights = [run["standardised_weight"]["BDW meta_loss=pretext"] for run in saved["runs"]]
    assert min(weights) < 0 < max(weights) < 2, "in standard deviations, about the mean"
    assert [row["by"] for row in saved["correlations"]] == ["BDW meta_loss=pretext", "likeness"]
    assert "unknown" in capsys.readouterr().out, "likeness of other domains"
