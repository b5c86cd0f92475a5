"""A small run, and that training on chosen images is training on nothing else."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from bdw.config import RunConfig
from bdw.data import Problem, load
from benchmarks.studies import kept_sets
from benchmarks.studies.subsets import trained_on


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunConfig, Problem]:
    config = RunConfig().replace(max_source=300, epochs=2, evaluate_every=2, report=False, device="cpu")
    return config, load(config.data, tmp_path_factory.mktemp("packed"))


def test_training_on_some_images_never_sees_the_others(digits: tuple[RunConfig, Problem], tmp_path: Path) -> None:
    config, problem = digits
    rows = np.arange(0, 300, 3)
    found = trained_on(rows, config, problem, str(tmp_path))
    assert (found["images"], found["instances"]) == (100, 200)
    images = np.array(problem.source.images)
    images[np.setdiff1d(np.arange(300), rows)] = 0
    blank = dataclasses.replace(problem, source=dataclasses.replace(problem.source, images=images))
    assert trained_on(rows, config, blank, str(tmp_path))["accuracy"] == found["accuracy"]


def test_a_mixture_that_holds_the_target_has_an_oracle(
    results: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = kept_sets.Arguments(
        data_root=str(shared_data), source="mixture:kmnist+gtsrb", targets=("kmnist",), target_fraction=0.1, seeds=(0,),
        epochs=3, max_source=240, image_size=16, method="BDW meta_loss=pretext", save="x",
    )  # fmt: skip
    kept_sets.main(arguments)
    saved = json.loads((results / "x.json").read_text())
    by_name = {run["trained_on"]: run for run in saved["runs"]}
    assert {name: (run["images"], run["instances"]) for name, run in by_name.items()} == {
        "weighted": (240, 720), "kept": (72, 216), "random": (72, 216), "oracle": (72, 216), "whole": (240, 240),
    }  # fmt: skip
    assert all(0.1 < run["accuracy"] < 1 for run in saved["runs"])
    assert "test accuracy (%), means over seeds" in capsys.readouterr().out
