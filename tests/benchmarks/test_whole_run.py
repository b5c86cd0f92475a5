"""What is compared with a weighted run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import whole_run
from benchmarks.whole_run import ROTNET, STOPPED, SUBSET

SETTINGS = "Counts meta_loss=pretext target_batch=16 cdf_threshold=0.5 density_threshold=0.6"


def test_the_rivals_get_what_the_weighted_run_took(results: Path, tmp_path: Path) -> None:
    arguments = whole_run.Arguments(
        data_root=str(tmp_path),
        preset="digits",
        targets=("digits",),
        epochs=4,
        max_source=300,
        settings=SETTINGS,
        save="x",
    )
    whole_run.main(arguments)
    result = json.loads((results / "x.json").read_text())
    runs = {run["method"]: run for run in result["runs"]}
    assert list(runs) == [ROTNET, SETTINGS, STOPPED, SUBSET]
    plain, weighted = runs[ROTNET], runs[SETTINGS]
    assert plain["instances"] == 4 * 300
    assert plain["kept_fraction"] == 1 > weighted["kept_fraction"]
    assert runs[SUBSET]["max_source"] == max(64, round(weighted["kept_fraction"] * 300))
    assert runs[STOPPED]["epochs"] == max(1, round(4 * weighted["seconds"] / plain["seconds"]))
    ratio, _, _ = result["summary"][SETTINGS]["seconds / RotNet's"]
    assert ratio == pytest.approx(weighted["seconds"] / plain["seconds"], abs=6e-4)


def test_seconds_alone_need_no_rivals_and_one_evaluation(results: Path, tmp_path: Path) -> None:
    arguments = whole_run.Arguments(
        data_root=str(tmp_path), preset="digits", targets=("digits",), epochs=2, max_source=128, settings=SETTINGS,
        rivals=False, evaluations=1, save="x",
    )  # fmt: skip
    whole_run.main(arguments)
    runs = json.loads((results / "x.json").read_text())["runs"]
    assert [run["method"] for run in runs] == [ROTNET, SETTINGS]
    for run in runs:
        assert [np.isfinite(score) for _, _, score in run["curve"]] == [False, True]
