"""The tables of several targets side by side, and what a run's page says of them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from bdw.report import heat_map, targets_section, write_run_report
from bdw.report.page import Sheet, Table, Text
from bdw.report.run_files import RunFiles, read_run
from bdw.report.targets_section import alike, targets_sections
from bdw.report.usefulness_by_target import UsefulnessByTarget, usefulness_by_target
from bdw.runs.directory import RunDirectory
from tests.report.conftest import MakeRun

NAMES = ("birds", "cars", "signs/")
N = 60


@pytest.fixture
def run_dir(tmp_path: Path, make_run: MakeRun) -> Path:
    """A run for three targets: two want the first half of the images, the third one the other half."""
    path = make_run(tmp_path / "run")
    described = json.loads((path / "config.json").read_text())
    described["config"]["targets"] = list(NAMES)
    (path / "config.json").write_text(json.dumps(described))
    table = pd.read_parquet(path / "instance_weights.parquet")
    noise = np.random.default_rng(0).normal(0, 0.02, (3, N))
    for number, name in enumerate(NAMES):
        slope = np.linspace(0.2, 0.8, N) if number == 2 else np.linspace(0.8, 0.2, N)
        mean = slope + noise[number]
        table.assign(mean=mean, a=mean, b=1 - mean).to_parquet(RunDirectory(path).usefulness(name))
    metrics = pd.read_csv(path / "metrics.csv")
    for number, name in enumerate(NAMES):
        metrics[f"validation_score of {name}"] = np.roll([0.5, 0.1, 0.2, 0.3], number)
    metrics.to_csv(path / "metrics.csv", index=False)
    results = pd.read_parquet(path / "results.parquet").iloc[:1]
    rows = [
        results.assign(domain=name, metric="accuracy", value=0.4 + number / 10) for number, name in enumerate(NAMES)
    ]
    pd.concat(rows).to_parquet(path / "results.parquet")
    return path


@pytest.fixture
def run(run_dir: Path) -> RunFiles:
    return read_run(run_dir)


@pytest.fixture
def found(run: RunFiles) -> UsefulnessByTarget:
    tables = usefulness_by_target(run)
    assert tables is not None
    return tables


def test_correlations_are_spearmans(found: UsefulnessByTarget) -> None:
    matrix = found.correlations()
    for one in NAMES:
        for other in NAMES:
            expected = scipy.stats.spearmanr(found.tables[one]["mean"], found.tables[other]["mean"]).statistic
            assert matrix.loc[one, other] == pytest.approx(expected, abs=1e-12)
    pairs = found.pairs()
    assert len(pairs) == 3
    assert set(pairs.index[-1]) == {"birds", "cars"}
    assert pairs.iloc[0] < -0.9


def test_domains_are_kinds_or_folders(found: UsefulnessByTarget) -> None:
    table = found.tables["cars"]
    domains = found.domains()
    assert domains is not None
    assert list(domains.index) == sorted(set(table["kind"]))
    kind = table["kind"].iloc[0]
    assert domains.loc[kind, "cars"] == pytest.approx(table["mean"][table["kind"] == kind].mean())
    folders = {
        name: each.drop(columns=["kind"]).assign(name=[f"{'ab'[i % 2]}/{i}.png" for i in range(N)])
        for name, each in found.tables.items()
    }
    by_folder = UsefulnessByTarget(folders).domains()
    assert by_folder is not None
    assert by_folder.loc["b", "birds"] == pytest.approx(found.tables["birds"]["mean"][1::2].mean())
    flat = {name: each.assign(name=[f"{i}.png" for i in range(N)]) for name, each in folders.items()}
    assert UsefulnessByTarget(flat).domains() is None


def test_images_that_divide_two_targets(found: UsefulnessByTarget) -> None:
    rows = found.dividing("cars", "signs/", 5)
    ranks = {name: scipy.stats.rankdata(found.tables[name]["mean"]) for name in NAMES}
    best = np.argsort(ranks["signs/"] - ranks["cars"], kind="stable")[:5]
    assert rows["index"].tolist() == found.tables["cars"]["index"].iloc[best].tolist()
    assert found.shared_quarter("cars", "signs/") == 0
    assert found.shared_quarter("cars", "cars") == 1
    same = UsefulnessByTarget({"one": found.tables["cars"], "other": found.tables["cars"]})
    assert same.dividing("one", "other", 5).empty


def test_the_page_has_scores_heat_maps_and_galleries(run: RunFiles, found: UsefulnessByTarget, run_dir: Path) -> None:
    scores, comparison, images = targets_sections(run, found)
    (table,) = scores.blocks
    assert isinstance(table, Table)
    assert [row[:2] for row in table.rows] == [("birds", "1"), ("cars", "2"), ("signs/", "3"), ("mean", "")]
    assert table.rows[-1][3] == run.measure.shown(0.5)
    assert [block.kind for block in comparison.blocks] == ["picture", "picture", "text", "sheet", "sheet"]
    text = comparison.blocks[2]
    assert isinstance(text, Text)
    assert "share 0.0 %, where chance would give 25 %" in text.text
    galleries = [block for block in images.blocks if isinstance(block, Sheet)]
    assert [block.title for block in galleries] == [f"Most useful for {name}" for name in NAMES]
    best = found.tables["signs/"].sort_values("mean", ascending=False)["index"].iloc[0]
    assert galleries[2].tiles[0].number == f"#{best}"
    html = write_run_report(run_dir).read_text()
    assert "pre-trained on" in html
    assert "for the targets birds, cars, signs/" in html
    assert "mean over the targets, each by its own best encoder" in html
    assert html.index("Usefulness by target") < html.index("How to repeat this run")


def test_a_warning_where_tables_hardly_depend_on_the_target(found: UsefulnessByTarget) -> None:
    assert alike(found) == []
    assert alike(None) == []
    two = UsefulnessByTarget({name: found.tables[name] for name in ("birds", "cars")})
    assert float(two.pairs().iloc[0]) > targets_section.ALIKE
    (notice,) = alike(two)
    assert notice.title == "What images are worth hardly depends on the target"
    assert "“birds”" in notice.text
    equal = UsefulnessByTarget({name: table.assign(mean=0.5) for name, table in two.tables.items()})
    assert alike(equal) == [], "nothing was learnt"


def test_a_run_with_one_target_says_nothing_of_this(make_run: MakeRun, tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "one"))
    assert usefulness_by_target(run) is None
    assert targets_sections(run, None) == []
    without = dataclasses.replace(run, config={**run.config, "targets": ["a", "b"]})
    assert usefulness_by_target(without) is None, "its tables are gone"


def test_a_heat_map_writes_every_known_number_where_it_can_be_read() -> None:
    values = pd.DataFrame([[1.0, 0.1], [float("nan"), -0.2]], index=["a" * 40, "b"], columns=["x", "y"])
    (axes,) = heat_map.heat_map(values, middle=0.0, largest=1.0).axes
    assert [text.get_text() for text in axes.texts] == ["1.00", "0.10", "-0.20"]
    assert [text.get_color() for text in axes.texts] == [heat_map.PAPER, heat_map.INK, heat_map.INK]
    assert axes.get_yticklabels()[0].get_text() == "…" + "a" * 23
