"""Work by targets and seeds: kept after each, continued with what is there."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.studies.cells import CellArguments, Rows, work_through


@dataclass(frozen=True, kw_only=True)
class Arguments(CellArguments):
    targets: tuple[str, ...] = ("a", "b")
    epochs: int = 3
    log: str = ""
    """File with a line for each call."""


def measure(arguments: Arguments, target: str, seed: int, folder: str) -> Rows:
    assert Path(folder).is_dir()
    with Path(arguments.log).open("a", encoding="utf-8") as file:
        file.write(f"{target}{seed} ")
    if target == "broken":
        raise RuntimeError("broken")
    return [{"target": target, "seed": seed, "value": len(target) + seed}]


def summarise(runs: Rows) -> dict[str, Any]:
    return {"total": sum(run["value"] for run in runs)}


@pytest.fixture
def arguments(tmp_path: Path, results: Path) -> Arguments:
    return Arguments(data_root="some folder", seeds=(0, 1), log=str(tmp_path / "log"), save="x")


def calls(arguments: Arguments) -> list[str]:
    return Path(arguments.log).read_text(encoding="utf-8").split()


def test_what_was_measured_before_an_error_is_kept_and_not_measured_again(arguments: Arguments, results: Path) -> None:
    with pytest.raises(RuntimeError, match="broken"):
        work_through(dataclasses.replace(arguments, targets=("a", "broken")), measure, summarise)
    assert [run["target"] for run in json.loads((results / "x.json").read_text())["runs"]] == ["a"]
    runs = work_through(dataclasses.replace(arguments, resume=True), measure, summarise)
    assert {(run["target"], run["seed"]) for run in runs} == {("a", 0), ("b", 0), ("a", 1), ("b", 1)}
    assert calls(arguments) == ["a0", "broken0", "b0", "a1", "b1"]
