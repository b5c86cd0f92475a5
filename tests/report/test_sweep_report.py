from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from bdw.errors import InputError
from bdw.report import write_sweep_report
from bdw.report.curves import curve
from bdw.report.figure import to_png
from bdw.report.sweep_report import flattened

MakeSweep = Callable[[Path], Path]


def _write(sweep: Path) -> str:
    path = write_sweep_report(sweep, "Sweep <demo>")
    assert path == sweep / "report.html"
    return path.read_text(encoding="utf-8")


def _titles(page: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", page)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, make_sweep: MakeSweep) -> str:
    return _write(make_sweep(tmp_path_factory.mktemp("report") / "sweep"))


def test_the_page_stands_alone_and_is_escaped(page: str) -> None:
    assert not re.search(r"(src|href)=\"(?!data:image/png;base64,)", page)
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)
    assert "<script" not in page
    assert "Sweep &lt;demo&gt;" in page


def test_numbers_are_those_of_the_files(page: str) -> None:
    assert dict(re.findall(r"<dt>(.*?)</dt><dd><strong>(.*?)</strong>", page)) == {
        "Best validation accuracy": "82.5 %",
        "Its test accuracy": "81.2 %",
        "Images it kept": "45.0 %",
        "Trials": "5",
        "Time": "35.5 s",
        "Instances seen": "19,630",
    }
    assert "3 complete, 1 pruned, 1 failed" in page
    assert "over the trials listed" in page
    assert "over all trials" not in page
    assert "3 complete (31.5 s, 18,120 instances); 1 pruned (3.0 s, 1,500 instances)" in page


def test_the_best_row_is_highlighted(page: str) -> None:
    (best,) = re.findall(r"<tr class=\"best\">(.*?)</tr>", page, flags=re.DOTALL)
    assert re.findall(r"<td[^>]*>(.*?)</td>", best)[:5] == ["t1", "complete", "beta", "0", "82.5 %"]


def test_sections_and_the_best_run(page: str) -> None:
    assert _titles(page) == [
        "Methods compared",
        "All trials",
        "The best run with learnt weights: trial t1",
        "What the weights learnt",
        "Planted junk",
        "The images",
        "Results by domain",
        "What to do next",
        "How to repeat this sweep",
        "Settings of the sweep",
    ]
    assert "study.sampler" in page
    assert "python sweeps/demo.py --seeds 0 1" in page
    assert "0123abc" in page


def test_a_best_trial_without_learnt_weights_is_passed_over(tmp_path: Path, make_sweep: MakeSweep) -> None:
    sweep = make_sweep(tmp_path / "sweep")
    trials = pd.read_csv(sweep / "trials.csv")
    trials.loc[trials["trial"] == "t0", "validation_score"] = 0.99
    trials.to_csv(sweep / "trials.csv", index=False)
    page = _write(sweep)
    assert "The best run with learnt weights: trial t1" in page
    assert "1 trial ranked higher but learnt no weights." in page
    shutil.rmtree(sweep / "trials" / "t0")
    page = _write(sweep)
    assert "learnt no weights" not in page
    assert "1 trial ranked higher, but the run directory is not here." in page


def test_a_deleted_best_run_costs_only_its_pictures(tmp_path: Path, make_sweep: MakeSweep) -> None:
    sweep = make_sweep(tmp_path / "sweep")
    shutil.rmtree(sweep / "trials")
    assert _titles(_write(sweep)) == [
        "Methods compared",
        "All trials",
        "Results by domain",
        "What to do next",
        "How to repeat this sweep",
        "Settings of the sweep",
    ]


def test_pictures_and_verdict_are_shown_where_there_are_any(tmp_path: Path, make_sweep: MakeSweep) -> None:
    sweep = make_sweep(tmp_path / "sweep")
    shutil.rmtree(sweep / "trials")
    assert "<img" not in _write(sweep)
    for name in ("pareto.png", "critical_difference.png"):
        (sweep / name).write_bytes(to_png(curve([1, 2], [3, 4], "accuracy")))
    (sweep / "comparison.json").write_text(json.dumps({"verdict": "beta & uniform do not differ"}))
    page = _write(sweep)
    assert page.count("<img") == page.count("<figcaption>") == 2
    assert "beta &amp; uniform do not differ" in page


def test_trials_alone_make_a_page(tmp_path: Path, make_sweep: MakeSweep) -> None:
    sweep = make_sweep(tmp_path / "sweep")
    (sweep / "results.parquet").unlink()
    (sweep / "config.json").unlink()
    trials = pd.read_csv(sweep / "trials.csv").drop(columns=["run", "test_score", "planted_auroc", "seed"])
    trials.assign(state="running").to_csv(sweep / "trials.csv", index=False)
    page = _write(sweep)
    assert _titles(page) == ["Methods compared", "All trials"]
    assert "highlighted" not in page


def test_missing_or_empty_trials_are_one_clear_line(tmp_path: Path, make_sweep: MakeSweep) -> None:
    sweep = make_sweep(tmp_path / "sweep")
    header = (sweep / "trials.csv").read_text().splitlines()[0]
    (sweep / "trials.csv").write_text(header + "\n")
    with pytest.raises(InputError, match="holds no trial yet"):
        write_sweep_report(sweep, "title")
    (sweep / "trials.csv").unlink()
    with pytest.raises(InputError, match=r"trials\.csv: not found"):
        write_sweep_report(sweep, "title")


def test_nested_settings_are_flattened() -> None:
    nested = {"a": {"b": 1, "c": {"d": [2]}}, "e": {}}
    assert flattened(nested) == {"a.b": 1, "a.c.d": [2], "e": {}}


def test_equals_of_the_best_are_counted(tmp_path: Path, make_sweep: MakeSweep) -> None:
    sweep = make_sweep(tmp_path / "sweep")
    shutil.rmtree(sweep / "trials")
    assert "The best complete trial by validation accuracy is highlighted." in _write(sweep)
    trials = pd.read_csv(sweep / "trials.csv").assign(validation_score=0.8)
    trials.to_csv(sweep / "trials.csv", index=False)
    page = _write(sweep)
    assert "3 complete trials share the best validation accuracy" in page
    assert "3 of 3 complete trials share the best validation accuracy: validation cannot tell them apart" in page
