from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import stats

from analysis import draw_usefulness_density, read_instance_weights
from analysis.errors import (
    AnalysisInputError,
    ColumnsError,
    NotFiniteError,
    NotNumericError,
    OptionError,
    ResultsFileError,
)

RULE = {"cdf_threshold": 0.25, "density_threshold": 0.6}


def weights(num: int, spread: float = 1.0, seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    a, b = np.exp(spread * generator.normal(size=(2, num)))
    kept = stats.beta.cdf(RULE["cdf_threshold"], a, b) <= RULE["density_threshold"]
    return pd.DataFrame({"index": range(num), "a": a, "b": b, "kept": kept})


def area_and_count(part: Any) -> tuple[float, float]:
    def area(corners: np.ndarray) -> float:
        x, y = corners[:-1].T
        return 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))

    return sum(area(path.vertices) for path in part.get_paths()), float(part.get_array().sum())


def test_every_image_is_counted_in_its_own_colour() -> None:
    table = weights(5000)
    # Some on the wrong side, so that cells hold both kinds.
    table["kept"] ^= np.random.default_rng(1).random(5000) < 0.1
    drawn = draw_usefulness_density(table, **RULE)
    assert area_and_count(drawn.kept)[1] == table["kept"].sum()
    assert area_and_count(drawn.pruned)[1] == (~table["kept"]).sum()
    counts = [
        np.histogram2d(np.log(own["a"]), np.log(own["b"]), bins=[drawn.edges] * 2)[0]
        for own in (table[table["kept"]], table[~table["kept"]])
    ]
    cell = (drawn.edges[1] - drawn.edges[0]) ** 2
    both = (counts[0] > 0) & (counts[1] > 0)
    assert both.any()
    for part, own in zip((drawn.kept, drawn.pruned), counts, strict=True):
        assert area_and_count(part)[0] == pytest.approx(cell * ((own > 0).sum() - both.sum() / 2))
        assert sorted(part.get_array().tolist()) == sorted(own[own > 0].tolist())
    assert [text.get_text() for text in drawn.legend.get_texts()][:2] == [
        f"kept ({table['kept'].sum():,})",
        f"pruned ({(~table['kept']).sum():,})",
    ]


def test_the_boundary_is_where_scipys_beta_says() -> None:
    table = weights(2000)
    drawn = draw_usefulness_density(table, **RULE)
    assert drawn.boundary is not None
    line = drawn.boundary.get_paths()[0].vertices
    shares = stats.beta.cdf(RULE["cdf_threshold"], *np.exp(line.T))
    assert shares == pytest.approx(np.full(len(line), RULE["density_threshold"]), abs=1e-3)
    # Whoever is pruned lies above the line.
    height = np.interp(np.log(table["a"]), line[:, 0], line[:, 1])
    inside = table["a"].between(*np.exp(line[[0, -1], 0]))
    assert ((np.log(table["b"]) > height) == ~table["kept"])[inside].mean() > 0.995


def test_lines_of_equal_mean() -> None:
    for spread in (1e-6, 0.01, 0.1, 1.0, 3.0):
        drawn = draw_usefulness_density(weights(300, spread))
        assert len(drawn.means) == 5
        for mean, line in drawn.means.items():
            a, b = np.exp(np.array(line.get_data()))
            assert a / (a + b) == pytest.approx(mean)
        low, high = drawn.axes.get_xlim()
        for text in drawn.mean_labels:
            assert all(low < part < high for part in text.get_position())
    assert draw_usefulness_density(weights(300)).boundary is None


@pytest.mark.parametrize("spread", [1e-6, 0.01, 1.0, 3.0])
@pytest.mark.parametrize("width", [3.3, 6.8])
def test_legible(width: float, spread: float, assert_legible: Callable[..., None]) -> None:
    drawn = draw_usefulness_density(weights(500, spread), **RULE, width=width)
    ax = drawn.axes
    ticks = [
        text
        for axis, (low, high) in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim()))
        for text, at in zip(axis.get_ticklabels(), axis.get_ticklocs(), strict=True)
        if low <= at <= high
    ]
    bar = ax.child_axes[-1]
    labels = [ax.xaxis.label, ax.yaxis.label, bar.yaxis.label]
    assert_legible(drawn.figure, [*drawn.legend.get_texts(), *drawn.mean_labels, *ticks, *labels])
    box = ax.get_window_extent()
    assert box.width == pytest.approx(box.height)


def test_draws_into_given_axes() -> None:
    figure = Figure(figsize=(6.8, 3))
    FigureCanvasAgg(figure)
    ax = figure.add_axes((0.2, 0.2, 0.3, 0.6))
    assert draw_usefulness_density(weights(50), ax=ax).axes is ax
    figure.draw_without_rendering()


@pytest.mark.parametrize(
    ("table", "options", "error", "message"),
    [
        (weights(3).drop(columns="kept"), {}, ColumnsError, "columns kept absent"),
        (weights(3).iloc[:0], {}, ColumnsError, "0 rows"),
        (weights(3).assign(a=np.nan), {}, NotFiniteError, "a nan of image 0; allowed: .*beta weighter"),
        (weights(3).assign(b=[1, 2, "x"]), {}, NotNumericError, "b 'x' of image 2"),
        (weights(3).assign(b=[1, 0, 2]), {}, OptionError, "b 0 of image 1; allowed: numbers above 0"),
        (weights(3).assign(kept="maybe"), {}, OptionError, "kept 'maybe' of image 0; allowed: True, False"),
        (weights(3), {"cdf_threshold": 0.1}, OptionError, "density_threshold: None; allowed: between 0 and 1, both"),
        (weights(3), {"cdf_threshold": 2, "density_threshold": 0.5}, OptionError, "cdf_threshold: 2"),
    ],
)
def test_bad_input_is_refused(
    table: pd.DataFrame, options: dict[str, float], error: type[ValueError], message: str
) -> None:
    with pytest.raises(error, match=message):
        draw_usefulness_density(table, **options)


def test_reads_what_runs_write(tmp_path: Path) -> None:
    table = weights(10).assign(name="x", pruned_at_epoch=0)
    table.to_parquet(tmp_path / "instance_weights.parquet")
    table.to_csv(tmp_path / "mine.csv", index=False)
    for path in (tmp_path, tmp_path / "instance_weights.parquet", tmp_path / "mine.csv"):
        read = read_instance_weights(path)
        assert read["kept"].dtype == bool
        pd.testing.assert_frame_equal(read[["a", "b", "kept"]], table[["a", "b", "kept"]])


def test_bad_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("no")
    (tmp_path / "empty.csv").write_text("")
    for name, message in (
        ("weights.txt", "ending '.txt'"),
        ("absent.csv", "is not a file"),
        ("text.parquet", "cannot be read as parquet"),
        ("empty.csv", "cannot be read as csv"),
    ):
        with pytest.raises(ResultsFileError, match=message) as caught:
            read_instance_weights(tmp_path / name)
        assert isinstance(caught.value, AnalysisInputError)
        assert "\n" not in str(caught.value)
