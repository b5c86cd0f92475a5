"""Tables as strangers bring them, and options of how a comparison looks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from analysis import comparison_folder
from analysis.cli import main
from analysis.errors import OptionError
from analysis.wishes import Wishes

pytestmark = pytest.mark.usefixtures("quick_pdfs")

NAMES = ["alpha", "NA", "gamma"]


def scores(num_domains: int = 6) -> pd.DataFrame:
    """Wide: gamma is best, alpha worst, and NA stands in between."""
    generator = np.random.default_rng(0)
    values = 0.5 + 0.1 * np.arange(3) + 0.02 * generator.normal(size=(num_domains, 3))
    return pd.DataFrame(values, index=[f"set {i}" for i in range(num_domains)], columns=NAMES)


def long(wide: pd.DataFrame, **names: str) -> pd.DataFrame:
    table = wide.rename_axis("domain").reset_index().melt("domain", var_name="method", value_name="value")
    return table.rename(columns=names)


def compared(folder: Path, *options: str) -> dict[str, object]:
    command = ["compare", str(folder / "table.csv"), "--out", str(folder / "out"), "--higher-is-better", *options]
    assert main(command) == 0
    return json.loads((folder / "out" / "comparison.json").read_text())  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What the usual names of the three columns give."""
    folder = tmp_path_factory.mktemp("usual")
    long(scores()).to_csv(folder / "table.csv", index=False)
    return compared(folder)


@pytest.mark.parametrize(
    ("names", "order", "metric"),
    [
        ({"method": "algorithm", "domain": "Data set", "value": "f1"}, ["algorithm", "Data set", "f1"], "f1"),
        ({"method": "who", "domain": "tasks", "value": "score"}, ["score", "tasks", "who"], "score"),
        ({"method": "Models", "domain": "where", "value": "Value"}, ["where", "Value", "Models"], "score"),
        ({"domain": "dataset", "value": "accuracy"}, ["dataset", "method", "accuracy"], "accuracy"),
    ],
)
@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_three_columns_of_any_names_are_a_long_table(
    names: dict[str, str], order: list[str], metric: str, ending: str, expected: dict[str, object], tmp_path: Path
) -> None:
    table = long(scores(), **names)[order]
    given = tmp_path / f"given{ending}"
    table.to_csv(given, index=False) if ending == ".csv" else table.to_parquet(given, index=False)
    assert main(["compare", str(given), "--out", str(tmp_path / "two"), "--higher-is-better"]) == 0
    found = json.loads((tmp_path / "two" / "comparison.json").read_text())
    assert {**found, "results": "", "metric": ""} == {**expected, "results": "", "metric": ""}
    assert found["metric"] == metric
    assert found["methods"] == ["gamma", "NA", "alpha"]


def test_seeds_may_stand_beside_the_three_columns(tmp_path: Path) -> None:
    table = pd.concat([long(scores(), method="model", domain="task", value="auc").assign(seed=seed) for seed in (0, 1)])
    table.to_csv(tmp_path / "table.csv", index=False)
    assert compared(tmp_path)["num_domains"] == 6
    assert "2 seeds" in (tmp_path / "out" / "scores.md").read_text()


def test_a_gap_in_a_long_table_names_the_option_that_helps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = long(scores(), method="model", domain="task", value="auc").astype({"auc": object})
    table.loc[3, "auc"] = "nan"
    table.to_csv(tmp_path / "table.csv", index=False)
    command = ["compare", str(tmp_path / "table.csv"), "--out", str(tmp_path / "out"), "--higher-is-better"]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "value: nan in row (alpha, set 3, seed 0)" in said
    assert "unless --missing (`missing=` in Python) says what to do about them" in said
    assert main([*command, "--missing", "drop-domains"]) == 0
    table.drop(index=3).to_csv(tmp_path / "table.csv", index=False)
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "1 of 18 (method, domain) cells are missing: (alpha, set 3); allowed: none, unless --missing" in said
    assert "drop-domains leaves 5 of 6 domains, drop-methods 2 of 3 methods, skillings-mack all cells" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ("who,where,score\na,x,1\na,y,2\n", "columns: who, where; which of the two names methods is not clear"),
        ("model,task,score\na,x,1\na,y,two\n", "value: 'two' in row (a, y, seed 0); allowed: numbers"),
        ("model,run,score\na,1,1\na,2,2\nb,1,1\n", "domains: a more than once; allowed: once each, or a long table"),
    ],
)
def test_three_columns_that_are_not_clear_are_one_line(
    contents: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "table.csv").write_text(contents)
    command = ["compare", str(tmp_path / "table.csv"), "--out", str(tmp_path / "out"), "--higher-is-better"]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_each_question_has_one_primary_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores().to_csv(tmp_path / "table.csv")
    found = compared(tmp_path, "--control", "alpha")
    assert found["primary_tests"] == {"all methods": "friedman", "pairs": "nemenyi", "control": "bonferroni-dunn"}
    lines = capsys.readouterr().out.splitlines()
    headings = [
        "Do the methods differ, and which pairs? Primary tests: Friedman's, then Nemenyi's.",
        "Secondary, the same pairs by signed differences instead of ranks; report it beside the primary test:",
        "Which methods differ from alpha? Primary test: Bonferroni and Dunn's; Holm's procedure is secondary.",
        "Beside the tests:",
    ]
    assert [line for line in lines if line in headings] == headings
    assert lines[lines.index(headings[1]) + 1].startswith("Wilcoxon signed-rank with Holm over 3 pairs:")
    scores()[["alpha", "gamma"]].to_csv(tmp_path / "table.csv")
    assert compared(tmp_path)["primary_tests"] == {"all methods": "wilcoxon", "pairs": "wilcoxon"}
    assert "Secondary" not in capsys.readouterr().out
    gaps = scores()
    gaps.iloc[0, 0] = np.nan
    gaps.to_csv(tmp_path / "table.csv")
    found = compared(tmp_path, "--missing", "skillings-mack")
    assert found["primary_tests"] == {"all methods": "skillings-mack", "pairs": "wilcoxon-holm"}
    assert "Which pairs differ? Primary test: Wilcoxon's signed ranks with Holm's" in capsys.readouterr().out


def test_percent_shows_shares_times_100_and_changes_no_test(tmp_path: Path) -> None:
    scores().to_csv(tmp_path / "table.csv")
    plain = compared(tmp_path, "--metric", "accuracy")
    differences = pd.read_csv(tmp_path / "out" / "pairs.csv")["mean_difference"]
    shown = compared(tmp_path, "--metric", "accuracy", "--percent")
    assert shown["metric"] == "accuracy (%)"
    for name in ("friedman_statistic", "p_value", "methods", "cliques"):
        assert shown[name] == plain[name]
    in_points = pd.read_csv(tmp_path / "out" / "pairs.csv")["mean_difference"]
    np.testing.assert_allclose(in_points, 100 * differences)
    table = (tmp_path / "out" / "scores.md").read_text()
    assert "in %" in table
    assert f"{100 * scores().loc['set 0', 'alpha']:.1f}" in table


def test_percent_of_what_is_no_share_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (100 * scores()).to_csv(tmp_path / "table.csv")
    command = ["compare", str(tmp_path / "table.csv"), "--out", str(tmp_path / "out"), "--higher-is-better"]
    assert main([*command, "--percent"]) == 2
    assert "percent: value 50." in (said := capsys.readouterr().err)
    assert "of (alpha, set 0); allowed: shares from -1 to 1" in said
    assert not (tmp_path / "out").exists()


def test_profiles_are_for_shares_with_as_many_seeds_everywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores().to_csv(tmp_path / "table.csv")
    compared(tmp_path)
    means = pd.read_csv(tmp_path / "out" / "interquartile_means.csv", keep_default_na=False)
    assert means["method"].tolist() == NAMES
    assert means["low"].tolist() == ["", "", ""], "a single seed has no interval"
    (100 * scores()).to_csv(tmp_path / "table.csv")
    command = ["compare", str(tmp_path / "table.csv"), "--higher-is-better", "--out"]
    assert main([*command, str(tmp_path / "percent")]) == 0
    assert not (tmp_path / "percent" / "interquartile_means.csv").exists()
    capsys.readouterr()
    pd.concat([long(scores()).assign(seed=0), long(scores()).iloc[:4].assign(seed=1)]).to_csv(
        tmp_path / "table.csv", index=False
    )
    assert main([*command, str(tmp_path / "uneven")]) == 0
    assert "left out: interquartile means and performance profiles: seeds: alpha has" in capsys.readouterr().out
    assert (tmp_path / "uneven" / "cd.png").exists()


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """The figures by name, as they are saved."""
    found: dict[str, Figure] = {}
    save = comparison_folder.save_figure

    def keep(figure: Figure, path: Path) -> Path:
        found[path.stem] = figure
        return save(figure, path)

    monkeypatch.setattr(comparison_folder, "save_figure", keep)
    return found


def test_width_and_font_are_those_of_all_figures(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    scores().to_csv(tmp_path / "table.csv")
    compared(tmp_path, "--width", "5.5", "--font", "DejaVu Serif", "--control", "alpha")
    assert sorted(drawn) == ["cd", "control", "pairs", "profiles", "ranks_by_domain", "scores"]
    for figure in drawn.values():
        assert figure.get_figwidth() == pytest.approx(5.5)
        texts = [text for ax in figure.axes for text in (*ax.texts, *ax.get_yticklabels()) if text.get_text()]
        assert {text.get_fontname() for text in texts} == {"DejaVu Serif"}


@pytest.mark.parametrize(
    ("order", "in_table", "in_figure"),
    [
        (None, ["alpha", "NA", "gamma"], ["gamma", "NA", "alpha"]),
        ("table", ["alpha", "NA", "gamma"], ["alpha", "NA", "gamma"]),
        ("best", ["gamma", "NA", "alpha"], ["gamma", "NA", "alpha"]),
        ("name", ["NA", "alpha", "gamma"], ["NA", "alpha", "gamma"]),
    ],
)
def test_order_of_methods(
    order: str | None, in_table: list[str], in_figure: list[str], tmp_path: Path, drawn: dict[str, Figure]
) -> None:
    scores().to_csv(tmp_path / "table.csv")
    compared(tmp_path, *([] if order is None else ["--order", order]))
    lines = (tmp_path / "out" / "scores.md").read_text().splitlines()
    rows = [line.split("|")[1].strip() for line in lines if line.startswith("|")]
    assert [name for name in rows if name in NAMES] == in_table
    (ax,) = drawn["scores"].axes
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == in_figure


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"font": "DejaVu Sanz"}, "font: 'DejaVu Sanz' is not installed; allowed: such as DejaVu Sans"),
        ({"width": 0.5}, "width: 0.5; allowed: 1 to 50 inches"),
        ({"order": "worst"}, "order: 'worst'; allowed: table, best, name"),
    ],
)
def test_wishes_that_cannot_be_met_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Wishes(**options)  # type: ignore[arg-type]
