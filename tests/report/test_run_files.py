from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bdw.config.removed import REMOVED
from bdw.errors import InputError
from bdw.report.command_line import fit_command
from bdw.report.run_files import read_run

MakeRun = Callable[..., Path]


def _change_source(run: Path, **changes: Any) -> None:
    description = json.loads((run / "config.json").read_text())
    description["source"] |= changes
    (run / "config.json").write_text(json.dumps(description))


def test_a_whole_run(tmp_path: Path, make_run: MakeRun) -> None:
    run = read_run(make_run(tmp_path / "run"))
    assert run.images is not None
    assert run.images.shape == (60, 1, 8, 8)
    assert run.skipped == (("broken<b>.png", "truncated & useless", 1),)
    assert run.notes == ()
    assert run.weights is not None


def test_a_run_of_an_earlier_version_is_read_unless_it_used_what_is_gone(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "run")
    path, command = run / "config.json", fit_command(read_run(run).config)
    description = json.loads(path.read_text())
    path.write_text(json.dumps(description | {"config": description["config"] | dict(REMOVED)}))
    assert fit_command(read_run(run).config) == command
    path.write_text(json.dumps(description | {"config": description["config"] | {"settled_epochs": 2}}))
    with pytest.raises(InputError, match="settled_epochs: 2 is from an earlier version"):
        read_run(run)


def test_uniform_weights_are_no_weights(tmp_path: Path, make_run: MakeRun) -> None:
    assert read_run(make_run(tmp_path / "run", uniform=True)).weights is None


def test_a_source_path_may_be_relative_to_the_run(tmp_path: Path, make_run: MakeRun, packed_source: Path) -> None:
    run = make_run(tmp_path / "run")
    shutil.copytree(packed_source, tmp_path / "source")
    _change_source(run, path="../source")
    assert read_run(run).images is not None


def test_images_of_the_target_are_counted_where_a_run_wrote_them_down(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "run")
    assert read_run(run).target_images == {"train": 160, "validation": 40, "test": 160}
    for unknown in (None, [], {"validation": "many"}, {"validation": 0}):
        _change_source(run, target_images=unknown)
        assert read_run(run).target_images == {}


def test_another_source_in_the_same_place_is_not_shown(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "run")
    _change_source(run, content_key="another")
    found = read_run(run)
    assert found.images is None
    assert "other images than this run saw" in found.notes[0]


def test_a_weight_table_beyond_the_source_is_not_shown(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "run")
    weights = pd.read_parquet(run / "instance_weights.parquet")
    weights.assign(index=weights["index"] + 1).to_parquet(run / "instance_weights.parquet")
    found = read_run(run)
    assert found.images is None
    assert "lacks images" in found.notes[0]


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_parameters_that_no_beta_distribution_has_are_refused(tmp_path: Path, make_run: MakeRun, value: float) -> None:
    run = make_run(tmp_path / "run")
    weights = pd.read_parquet(run / "instance_weights.parquet")
    weights.loc[7, "b"] = value
    weights.to_parquet(run / "instance_weights.parquet")
    with pytest.raises(InputError, match=r"instance_weights\.parquet: b is .* for image 7"):
        read_run(run)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", b"{"),
        ("config.json", b"[]"),
        ("config.json", b"{}"),
        ("metrics.csv", b""),
        ("metrics.csv", b"epoch,loss\n1,2\n"),
        ("metrics.csv", b"epoch,loss,validation_score,kept_fraction,instances_seen,wall_seconds\n"),
        ("instance_weights.parquet", b"rubbish"),
        ("results.parquet", b"PAR1rubbishPAR1"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, make_run: MakeRun, name: str, content: bytes) -> None:
    run = make_run(tmp_path / "run")
    (run / name).write_bytes(content)
    with pytest.raises(InputError, match=re.escape(name)) as caught:
        read_run(run)
    assert "\n" not in str(caught.value)
