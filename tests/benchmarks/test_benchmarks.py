"""Every part of every setting runs, so that `make bench` is never found broken by the one who needs a number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import harness, step


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
