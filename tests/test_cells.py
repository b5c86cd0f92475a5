"""Work by targets and seeds: everything once, kept after each, continued with what is there."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bdw.errors import InputError
from benchmarks.cells import CellArguments, Rows, work_through


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


def test_every_target_with_every_seed_is_measured_and_saved(arguments: Arguments, results: Path) -> None:
    runs = work_through(arguments, measure, summarise)
    assert [(run["target"], run["seed"]) for run in runs] == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    saved = json.loads((results / "x.json").read_text())
    assert saved["runs"] == runs
    assert saved["total"] == 1 + 1 + 2 + 2
    assert saved["settings"] == {"epochs": 3, "log": arguments.log}


def test_what_was_measured_before_an_error_is_kept_and_not_measured_again(arguments: Arguments, results: Path) -> None:
    with pytest.raises(RuntimeError, match="broken"):
        work_through(dataclasses.replace(arguments, targets=("a", "broken")), measure, summarise)
    assert [run["target"] for run in json.loads((results / "x.json").read_text())["runs"]] == ["a"]
    runs = work_through(dataclasses.replace(arguments, resume=True), measure, summarise)
    assert {(run["target"], run["seed"]) for run in runs} == {("a", 0), ("b", 0), ("a", 1), ("b", 1)}
    assert calls(arguments) == ["a0", "broken0", "b0", "a1", "b1"]


def test_a_result_of_other_settings_is_not_continued(arguments: Arguments) -> None:
    work_through(arguments, measure, summarise)
    with pytest.raises(InputError, match=r"resume: x.json was made with other settings \(epochs\)"):
        work_through(dataclasses.replace(arguments, epochs=4, resume=True), measure, summarise)
    assert len(calls(arguments)) == 4


@dataclass(frozen=True, kw_only=True)
class MethodArguments(CellArguments):
    methods: tuple[str, ...] = ("p", "q")


def test_work_falls_into_methods_as_well(results: Path) -> None:
    asked: list[tuple[str, int]] = []

    def measure_method(arguments: MethodArguments, method: str, seed: int, folder: str) -> Rows:
        asked.append((method, seed))
        return [{"method": method, "seed": seed}]

    one = MethodArguments(data_root="some folder", methods=("p",), seeds=(0,), save="x")
    work_through(one, measure_method, lambda runs: {}, by="methods")
    more = MethodArguments(data_root="some folder", seeds=(0,), save="x", resume=True)
    work_through(more, measure_method, lambda runs: {}, by="methods")
    assert asked == [("p", 0), ("q", 0)]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"save": None, "resume": True}, "resume: cannot work without save"),
        ({"workers": 0}, "workers: 0 cannot work"),
        ({"seeds": ()}, "seeds: none were given"),
    ],
)
def test_what_cannot_work_is_refused_at_once(arguments: Arguments, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        work_through(dataclasses.replace(arguments, **changed), measure, summarise)
    assert not Path(arguments.log).exists()


@pytest.mark.slow
def test_several_processes_measure_the_same(arguments: Arguments) -> None:
    found = [work_through(dataclasses.replace(arguments, workers=workers), measure, summarise) for workers in (1, 2)]
    one, two = (sorted(runs, key=lambda run: (run["target"], run["seed"])) for runs in found)
    assert one == two
    assert sorted(calls(arguments)) == sorted(2 * ["a0", "b0", "a1", "b1"])
