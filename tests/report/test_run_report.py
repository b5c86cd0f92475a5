from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from bdw.errors import InputError
from bdw.report import write_run_report

MakeRun = Callable[..., Path]


def _titles(page: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", page)


def _headlines(page: str) -> dict[str, str]:
    return dict(re.findall(r"<dt>(.*?)</dt><dd><strong>(.*?)</strong>", page))


def _plain(page: str) -> str:
    """As one would copy it: spaces that hold a number and its unit together are spaces."""
    return html.unescape(page).replace("\N{NO-BREAK SPACE}", " ")


def _write(run: Path) -> str:
    path = write_run_report(run)
    assert path == run / "report.html"
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def planted_run(tmp_path_factory: pytest.TempPathFactory, make_run: MakeRun) -> Path:
    return make_run(tmp_path_factory.mktemp("report") / "run")


@pytest.fixture(scope="module")
def planted_page(planted_run: Path) -> str:
    return _write(planted_run)


def test_the_page_stands_alone(planted_page: str) -> None:
    assert not re.search(r"(src|href)=\"(?!data:image/png;base64,)", planted_page)
    assert "http" not in re.sub(r"base64,[^\"]*", "", planted_page)
    assert "<script" not in planted_page
    assert 'name="viewport"' in planted_page
    assert (
        planted_page.count("<img") == len(re.findall(r"<img [^>]*alt=\"[^\"]+\"", planted_page)) == 4 + 2 + 2 * 24 + 24
    )


def test_names_of_images_are_escaped(planted_page: str) -> None:
    assert f'title="{html.escape("<script>alert(1)</script>.png")} (#0)"' in planted_page
    assert html.escape("broken<b>.png") in planted_page


def test_numbers_are_those_of_the_files(planted_run: Path, planted_page: str) -> None:
    weights = pd.read_parquet(planted_run / "instance_weights.parquet")
    auroc = roc_auc_score(weights["planted"], weights["mean"])
    assert _headlines(planted_page) == {
        "Test accuracy": "81.2 %",
        "Validation accuracy": "82.5 %",
        "Images kept": "60.0 %",
        "Time": "83.2 s",
        "Instances seen": "12,345",
        "AUROC of usefulness": f"{auroc:.3f}",
    }
    assert f"{auroc:.3f} over 30 useful images and 30 planted junk images" in planted_page
    assert "best, at epoch 3 of 4" in planted_page
    assert "36 of 60 images at the end" in planted_page


def test_sections_of_a_planted_run(planted_page: str) -> None:
    assert _titles(planted_page) == [
        "Read with care",
        "What to do next",
        "The images",
        "What the weights learnt",
        "Planted junk",
        "Training, epoch by epoch",
        "Skipped files",
        "How to repeat this run",
        "All settings",
    ]
    sheets = re.findall(r"<div class=\"sheet\">\s*<h3>(.*?)</h3>", planted_page)
    assert sheets == ["Most useful", "Least useful", "Pruned first"]


def test_without_planted_junk_nothing_is_said_of_it(tmp_path: Path, make_run: MakeRun) -> None:
    page = _write(make_run(tmp_path / "run", planted=False))
    assert "Planted junk" not in page
    assert "AUROC" not in page
    assert "What the weights learnt" in page


def test_uniform_weights_have_nothing_to_show(tmp_path: Path, make_run: MakeRun) -> None:
    page = _write(make_run(tmp_path / "run", uniform=True))
    assert _titles(page) == [
        "Read with care", "What to do next", "Training, epoch by epoch", "Skipped files", "How to repeat this run",
        "All settings",
    ]  # fmt: skip
    assert page.count("<img") == 2
    assert "Meta-loss" not in page
    assert "Images kept" not in page


def test_everything_to_repeat_the_run_is_there(planted_run: Path, planted_page: str) -> None:
    run, page = planted_run, html.unescape(planted_page)
    assert f"python -m bdw fit --source digits --flip --epochs 4 --batch-size 16 --seed 3 --run-dir {run}" in page
    for name, value in json.loads((run / "config.json").read_text())["config"].items():
        shown = "–" if value is None else value if isinstance(value, str) else json.dumps(value)
        assert re.search(rf"<td>{name}</td>\s*<td>{re.escape(shown)}</td>", page), name
    for text in ("0123abc", "3.11.9", "2.6.0", "2030-01-02T03:04:05Z"):
        assert text in page


def test_optional_files_cost_only_their_sections(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "run")
    (run / "results.parquet").unlink()
    (run / "instance_weights.parquet").unlink()
    page = _write(run)
    assert "Test accuracy" not in page
    assert "What the weights learnt" not in page
    assert "Training, epoch by epoch" in page


def test_a_run_of_a_version_that_did_not_count_target_images_has_no_intervals(
    tmp_path: Path, make_run: MakeRun
) -> None:
    run = make_run(tmp_path / "run")
    assert "95 % interval 74.5 to 86.5 %" in _plain(_write(run))
    description = json.loads((run / "config.json").read_text())
    del description["source"]["target_images"]
    (run / "config.json").write_text(json.dumps(description))
    page = _write(run)
    assert _headlines(page)["Test accuracy"] == "81.2 %"
    assert "interval" not in page
    assert "Read with care" not in page


def test_measures_that_the_headlines_lack_have_a_table(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "run")
    assert "Further results" not in _write(run)
    results = pd.read_parquet(run / "results.parquet")
    more = results.head(1).assign(metric="knn_accuracy", value=0.7654)
    pd.concat([results, more]).to_parquet(run / "results.parquet")
    page = _write(run)
    assert "Further results" in page
    assert re.search(r"<td>knn_accuracy</td>\s*<td class=\"number\">0.7654</td>", page)


def test_the_cost_of_a_choice_is_no_result_on_test_images(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "run")
    results = pd.read_parquet(run / "results.parquet")
    more = results.head(1).assign(metric="selection_seconds", value=12.5)
    pd.concat([results, more]).to_parquet(run / "results.parquet")
    page = _write(run)
    assert "On the target's test images" not in page
    assert "What choosing images before training cost" in page
    assert re.search(r"<td>selection_seconds</td>\s*<td class=\"number\">12.5</td>", page)


def test_a_source_that_moved_away_is_said(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "run")
    description = json.loads((run / "config.json").read_text())
    description["source"]["path"] = "../elsewhere"
    (run / "config.json").write_text(json.dumps(description))
    page = _write(run)
    assert "Contact sheets are left out" in page
    assert "Most useful" not in page


@pytest.mark.parametrize("name", ["config.json", "metrics.csv"])
def test_required_files_are_named_when_missing(tmp_path: Path, make_run: MakeRun, name: str) -> None:
    run = make_run(tmp_path / "run")
    (run / name).unlink()
    with pytest.raises(InputError, match=rf"{name}: not found") as caught:
        write_run_report(run)
    assert "\n" not in str(caught.value)
    assert not (run / "report.html").exists()


def test_one_epoch_is_enough_and_has_no_curves(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "run")
    pd.read_csv(run / "metrics.csv").head(1).to_csv(run / "metrics.csv", index=False)
    page = _write(run)
    assert "best, at epoch 1 of 1" in page
    assert "Training, epoch by epoch" not in page


def test_what_pruning_has_gained_is_said_where_it_is_known(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "run")
    metrics = pd.read_csv(run / "metrics.csv")
    without = _write(run)
    assert "Time gained" not in without
    metrics.assign(weighting_seconds=[4.0, 5.0, 6.0, 7.0], saved_seconds=[0.0, 3.0, 7.0, 9.5]).to_csv(
        run / "metrics.csv", index=False
    )
    page = _write(run)
    assert _headlines(page)["Time gained"] == "2.5 s"
    assert "weighting took 7.0 s, pruning saved 9.5 s: 2.5 s gained" in _plain(page)
    assert page.count("<img") == without.count("<img") + 1


@pytest.mark.parametrize(
    ("spent", "saved", "label", "value"),
    [(7.0, 3.0, "Time to break-even", "4.0 s"), (7.0, 0.0, "Time on weights", "7.0 s"), (0.0, 0.0, None, "")],
)
def test_what_pruning_has_not_gained_is_no_negative_gain(
    tmp_path: Path, make_run: MakeRun, spent: float, saved: float, label: str | None, value: str
) -> None:
    run = make_run(tmp_path / "run")
    metrics = pd.read_csv(run / "metrics.csv")
    metrics.assign(weighting_seconds=spent, saved_seconds=saved).to_csv(run / "metrics.csv", index=False)
    found = {name: shown for name, shown in _headlines(_write(run)).items() if name.startswith("Time ")}
    assert found == ({} if label is None else {label: value})


def test_commands_are_words_that_a_line_does_not_break(planted_page: str, planted_run: Path) -> None:
    (commands, *_) = re.findall(r'<ol class="steps">(.*?)</ol>', planted_page, re.DOTALL)
    texts = [html.unescape(re.sub("<.*?>", "", text)) for text in re.findall(r"<pre.*?>(.*?)</pre>", commands)]
    settings = "--source digits --flip --weighter uniform --epochs 4 --batch-size 16 --seed 3"
    assert f"python -m bdw fit {settings} --run-dir {planted_run}-plain" in texts
    assert "<span>--run-dir</span> <span>" in commands


def test_a_run_with_a_time_budget_says_what_it_did_and_that_it_cannot_be_repeated(
    tmp_path: Path, make_run: MakeRun
) -> None:
    run = make_run(tmp_path / "run")
    assert "bit for bit" not in _write(run)
    description = json.loads((run / "config.json").read_text())
    description["config"]["time_budget"] = 2.0
    (run / "config.json").write_text(json.dumps(description | {"repeatable": False}))
    metrics = pd.read_csv(run / "metrics.csv").assign(meta_every=[1, 1, 2, 2], meta_batch=[100, 100, 100, 100])
    metrics.to_csv(run / "metrics.csv", index=False)
    page = _write(run)
    assert "cannot be repeated bit for bit" in page
    assert "changed from epoch to epoch:" in page
    assert "the first of every 2" in page
    assert "--time-budget 2.0" in html.unescape(page)


@pytest.mark.parametrize(
    ("spent", "pruned", "said"),
    [
        (7.0, True, "of the training steps; the images that pruning saved went to the kept ones"),
        (7.0, False, "of the training steps; nothing was pruned"),
        (0.0, True, None),
    ],
)
def test_with_a_budget_of_images_no_time_is_gained(
    tmp_path: Path, make_run: MakeRun, spent: float, pruned: bool, said: str | None
) -> None:
    run = make_run(tmp_path / "run")
    metrics = pd.read_csv(run / "metrics.csv").assign(weighting_seconds=spent, saved_seconds=float("nan"))
    metrics.assign(**({} if pruned else {"kept_fraction": 1.0})).to_csv(run / "metrics.csv", index=False)
    description = json.loads((run / "config.json").read_text())
    description["config"]["budget_unit"] = "images"
    (run / "config.json").write_text(json.dumps(description))
    page = _write(run)
    found = {name: shown for name, shown in _headlines(page).items() if name.startswith("Time ")}
    assert found == ({} if said is None else {"Time on weights": "7.0 s"})
    assert said is None or said in _plain(page)
    assert "4 epochs over a budget of 240 images, seed 3." in _plain(page)
    assert "breaking even" not in _plain(page)
    assert "Seconds spent on weighting and saved by pruning" not in _plain(page)
