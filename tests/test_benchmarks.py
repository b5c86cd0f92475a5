"""Every part of every setting runs, so that `make bench` is never found broken by the one who needs a number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bdw import presets
from benchmarks import harness, planted_junk, step, usefulness
from benchmarks.methods import LEARNING
from benchmarks.usefulness import RANKED
from sweeps.methods import chosen


@pytest.mark.parametrize("part", step.PARTS)
@pytest.mark.parametrize("setting", ["digits", "table-1"])
def test_every_part_of_a_step_runs(setting: str, part: str) -> None:
    run = step.prepare(setting, part, threads=1, seed=0)
    for _ in range(2):
        run()


def test_settings_and_their_names_agree() -> None:
    annotation = step.Arguments.__annotations__["setting"]
    for name in step.SETTINGS:
        assert f"'{name}'" in str(annotation).replace('"', "'")


def test_a_result_does_not_say_where_the_data_lay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "benchmarks" / "results")
    harness.RESULTS.mkdir(parents=True)
    root = 'some "data"'
    contents = {"command": f"python -m x --data-root {root}", "arguments": {"data_root": root, "seeds": [0]}}
    written = json.loads(harness.write_result("one", contents, data_root=root).read_text())
    assert written == {"command": "python -m x --data-root DIR", "arguments": {"data_root": "DIR", "seeds": [0]}}


def test_planted_junk_says_what_a_visit_tells(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planted_junk.main(planted_junk.Arguments(methods=("BDW meta_loss=pretext",), seeds=1, epochs=2, save="x"))
    (run,) = json.loads((results / "x.json").read_text())["runs"]
    assert run["d_prime"] > 0.1, "digits are told from junk"
    assert run["signal_to_noise"] > 0
    assert run["useful_kept"] > 0.5 > run["useless_kept"]
    assert 0 < run["cosine"] < 1
    assert f"d' of a visit {run['d_prime']}" in capsys.readouterr().out


def test_usefulness_says_what_a_visit_tells(results: Path, shared_data: Path) -> None:
    arguments = usefulness.Arguments(
        data_root=str(shared_data), domains=("gtsrb", "kmnist"), targets=("kmnist",), seeds=(0,), epochs=2,
        methods=("BDW meta_loss=pretext",), max_source=200, save="x",
    )  # fmt: skip
    usefulness.main(arguments)
    (run,) = json.loads((results / "x.json").read_text())["runs"]
    assert run["d_prime"] is not None
    assert len(run["auroc"]) == 2


def test_one_visit_to_an_image_tells_nothing_of_its_noise(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planted_junk.main(planted_junk.Arguments(methods=("BDW",), seeds=1, epochs=1, save="x"))
    (run,) = json.loads((results / "x.json").read_text())["runs"]
    assert run["d_prime"] is run["signal_to_noise"] is None
    assert "nan" not in capsys.readouterr().out


def test_a_preset_as_a_command_line_names_it_is_that_preset() -> None:
    (method,) = chosen([RANKED], LEARNING)
    assert {**method.fields, "prune": False} == presets.RANKED
