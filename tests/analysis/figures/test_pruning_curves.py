import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis import draw_pruning_curves, read_kept_shares
from analysis.errors import AnalysisInputError, ColumnsError, NotFiniteError, NotNumericError, OptionError
from analysis.kept_shares import COLUMNS, ResultsFileError


def write_run(directory: Path, shares: list[float], **config: object) -> Path:
    directory.mkdir()
    metrics = {"epoch": range(1, len(shares) + 1), "loss": 1.0, "kept_fraction": shares}
    pd.DataFrame(metrics).to_csv(directory / "metrics.csv", index=False)
    if config:
        (directory / "config.json").write_text(json.dumps({"config": config}))
    return directory


def shares(curves: dict[tuple[str, str], list[float]]) -> pd.DataFrame:
    rows = [(run, label, epoch, x) for (label, run), own in curves.items() for epoch, x in enumerate(own, 1)]
    return pd.DataFrame(rows, columns=["run", "label", "epoch", "kept_fraction"])


TWO_SEEDS = {("a", "0"): [1.0, 0.8, 0.5], ("a", "1"): [0.9, 0.4], ("b", "2"): [1.0, 1.0, 0.7]}


def test_labels_name_the_settings_that_differ_and_no_seed(tmp_path: Path) -> None:
    common = {"cdf_threshold": 0.1, "prune": True}
    runs = [
        write_run(tmp_path / "1", [1.0, 0.5], weighter="beta", weight_lr=1.0, density_threshold=0.5, seed=0, **common),
        write_run(tmp_path / "2", [1.0, 0.6], weighter="beta", weight_lr=1.0, density_threshold=0.5, seed=1, **common),
        write_run(tmp_path / "3", [1.0, 0.7], weighter="beta", weight_lr=1.0, density_threshold=0.9, seed=0, **common),
        # What a weighter does not use does not tell its runs apart.
        write_run(tmp_path / "4", [1.0, 1.0], weighter="uniform", weight_lr=1.0, density_threshold=0.5, **common),
        write_run(tmp_path / "5", [1.0, 1.0], weighter="uniform", weight_lr=9.0, density_threshold=0.9, **common),
    ]
    table = read_kept_shares(runs)
    assert tuple(table.columns) == COLUMNS
    labels = table.drop_duplicates("run")["label"].tolist()
    assert labels == ["beta, rho 0.5", "beta, rho 0.5", "beta, rho 0.9", "uniform", "uniform"]
    assert table.loc[table["run"] == str(runs[1]), "kept_fraction"].tolist() == [1.0, 0.6]


def test_labels_have_as_many_digits_as_it_takes(tmp_path: Path) -> None:
    settings = {"weighter": "point", "cdf_threshold": 0.1}
    runs = [write_run(tmp_path / str(i), [1.0], weight_lr=1.23456 + i / 10_000, **settings) for i in range(2)]
    assert read_kept_shares(runs)["label"].tolist() == ["point, eta 1.2346", "point, eta 1.2347"]
    runs = [write_run(tmp_path / f"far {i}", [1.0], weight_lr=1.23456 + i, **settings) for i in range(2)]
    assert read_kept_shares(runs)["label"].tolist() == ["point, eta 1.23", "point, eta 2.23"]


def test_given_labels_need_no_config(tmp_path: Path) -> None:
    table = read_kept_shares([write_run(tmp_path / "x", [0.5])], labels=["mine"])
    assert table["label"].tolist() == ["mine"]


def test_lines_are_the_means_and_bands_the_extremes() -> None:
    drawn = draw_pruning_curves(shares(TWO_SEEDS))
    (mean,), (single,) = drawn.lines["a"], drawn.lines["b"]
    # Up to the last epoch that both seeds reached.
    assert list(mean.get_xdata()) == [0, 1, 2]
    assert list(mean.get_ydata()) == pytest.approx([1, 0.95, 0.6])
    assert list(single.get_ydata()) == [1, 1, 1, 0.7]
    assert mean.get_drawstyle() == "steps-post"
    assert list(drawn.bands) == ["a"]
    vertices = drawn.bands["a"].get_paths()[0].vertices
    assert sorted(set(vertices[vertices[:, 0] == 2][:, 1])) == pytest.approx([0.4, 0.8, 0.9, 1.0])
    assert mean.get_color() != single.get_color()


def test_without_a_band_every_run_has_its_line() -> None:
    drawn = draw_pruning_curves(shares(TWO_SEEDS), band=False)
    assert [list(line.get_ydata()) for line in drawn.lines["a"]] == [[1, 1.0, 0.8, 0.5], [1, 0.9, 0.4]]
    assert drawn.bands == {}
    assert len({line.get_color() for line in drawn.lines["a"]}) == 1
    assert [text.get_text() for text in drawn.legend.get_texts()] == ["a", "b"]


@pytest.mark.parametrize("num_labels", [1, 3, 28])
def test_legible(num_labels: int, long_names: list[str], assert_legible: Callable[..., None]) -> None:
    curves = {(f"{long_names[i % 5]} {i}", str(i)): [1.0, 1 - i / 30] for i in range(num_labels)}
    drawn = draw_pruning_curves(shares(curves))
    low, high = drawn.axes.get_ylim()
    ticks = [text for text in drawn.axes.get_yticklabels() if low <= text.get_position()[1] <= high]
    labels = [drawn.axes.xaxis.label, drawn.axes.yaxis.label]
    assert_legible(drawn.figure, [*drawn.legend.get_texts(), *ticks, *labels])
    looks = {(lines[0].get_color(), str(lines[0]._dash_pattern)) for lines in drawn.lines.values()}  # type: ignore[attr-defined]
    assert len(looks) == num_labels
    explained = {(line.get_color(), str(line._dash_pattern)) for line in drawn.legend.get_lines()}  # type: ignore[attr-defined]
    assert explained == looks


def test_draws_into_given_axes() -> None:
    figure = Figure(figsize=(6.8, 3))
    FigureCanvasAgg(figure)
    ax = figure.add_axes((0.2, 0.2, 0.7, 0.6))
    assert draw_pruning_curves(shares(TWO_SEEDS), ax=ax).axes is ax
    figure.draw_without_rendering()


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (shares(TWO_SEEDS).drop(columns="label"), ColumnsError, "label absent"),
        (shares(TWO_SEEDS).iloc[:0], ColumnsError, "0 rows"),
        (shares(TWO_SEEDS).assign(kept_fraction="all"), NotNumericError, "kept_fraction 'all' in run 0"),
        (shares(TWO_SEEDS).assign(kept_fraction=np.nan), NotFiniteError, "kept_fraction nan in run 0"),
        (shares(TWO_SEEDS).assign(kept_fraction=50), OptionError, "kept_fraction 50 in run 0; allowed: 0 to 1"),
        (shares(TWO_SEEDS).assign(epoch=0), OptionError, "epoch 0 in run 0; allowed: at least 1"),
        (shares(TWO_SEEDS).assign(epoch=1), OptionError, "epoch 1 twice in run 0"),
        (shares(TWO_SEEDS).assign(label=list("abaaabbb")), OptionError, "two labels for run 0"),
        (shares({(str(i), str(i)): [1.0] for i in range(29)}), OptionError, "29 labels; allowed: at most 28"),
    ],
)
def test_bad_tables_are_refused(table: pd.DataFrame, error: type[ValueError], message: str) -> None:
    with pytest.raises(error, match=message):
        draw_pruning_curves(table)


def test_bad_runs_are_refused(tmp_path: Path) -> None:
    whole = write_run(tmp_path / "whole", [1.0], weighter="beta")
    bare = write_run(tmp_path / "bare", [1.0])
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "metrics.csv").write_text("epoch,loss\n1,2\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "metrics.csv").write_text("")
    cases: list[tuple[list[Path], dict[str, Any], type[AnalysisInputError], str]] = [
        ([], {}, OptionError, "runs: none"),
        ([whole], {"labels": ["a", "b"]}, OptionError, "labels: 2 for 1 runs"),
        ([bare], {}, ResultsFileError, "config.json does not say how the run was made"),
        ([tmp_path / "absent"], {"labels": ["a"]}, ResultsFileError, "metrics.csv cannot be read"),
        ([tmp_path / "empty"], {"labels": ["a"]}, ResultsFileError, "metrics.csv cannot be read"),
        ([tmp_path / "odd"], {"labels": ["a"]}, ColumnsError, "kept_fraction absent; present: epoch, loss"),
    ]
    for runs, options, error, message in cases:
        with pytest.raises(error, match=message) as caught:
            read_kept_shares(runs, **options)
        assert "\n" not in str(caught.value)
