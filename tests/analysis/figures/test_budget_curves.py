from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from analysis import draw_budget_curves, read_curves, save_figure
from analysis.errors import OptionError, ResultsFileError
from analysis.figures.figure_style import GREY, new_figure

METHODS = {"plain": 1.0, "paper's": 0.8, "recommended": 2.0, "nearest neighbours": 1.5, "oracle": 3.0}


def curves(num_domains: int = 4, sign: int = 1) -> pd.DataFrame:
    """Scores that rise towards a domain's own level, as fast as METHODS says; all spend 1,000 images."""
    images = np.arange(50, 1001, 50)
    rows = [
        {"method": method, "domain": f"d{domain}", "seed": seed, "instances_seen": x, "wall_seconds": x / 100}
        | {"best_value": sign * (0.5 + 0.05 * domain + 0.01 * seed) * (1 - np.exp(-speed * x / 400))}
        for method, speed in METHODS.items()
        for domain in range(num_domains)
        for seed in range(2)
        for x in images
    ]
    return pd.DataFrame(rows)


def test_lines_levels_and_marks_say_what_the_table_says() -> None:
    drawn = draw_budget_curves(
        curves(), baseline="plain", higher_is_better=True, value_label="accuracy (%)", percent=True, oracles=["oracle"]
    )
    assert list(drawn.axes) == ["instances_seen", "wall_seconds"]
    for cost, unit in (("instances_seen", 1.0), ("wall_seconds", 0.01)):
        lines = drawn.lines[cost]
        assert set(lines) == set(METHODS)
        assert to_hex(lines["plain"].get_color()) == GREY
        assert lines["oracle"].is_dashed()
        assert len({to_hex(line.get_color()) for line in lines.values()}) == len(METHODS)
        end = 100 * np.mean([0.5 + 0.05 * d + 0.01 * s for d in range(4) for s in range(2)]) * (1 - np.exp(-2.5))
        assert lines["plain"].get_ydata()[-1] == pytest.approx(end)
        assert drawn.levels[cost].get_ydata()[0] == pytest.approx(end)
        # As many times sooner as it is faster; the paper's recipe never does.
        assert {name: text.get_text() for name, text in drawn.marks[cost].items()} == {
            "oracle": "3.0× sooner",
            "recommended": "2.0× sooner",
            "nearest neighbours": "1.5× sooner",
        }
        assert drawn.marks[cost]["recommended"].xy[0] == pytest.approx(500 * unit)
        assert set(drawn.bands[cost]) == set(METHODS)


@pytest.mark.parametrize("sign", [1, -1])
def test_texts_are_legible(assert_legible: Callable[..., None], sign: int) -> None:
    table = curves(sign=sign)
    drawn = draw_budget_curves(
        table, baseline="plain", higher_is_better=sign == 1, value_label="score", oracles=["oracle"]
    )
    assert drawn.figure.get_size_inches()[0] == pytest.approx(6.9)
    for cost in drawn.axes:
        assert_legible(drawn.figure, list(drawn.marks[cost].values()), within=drawn.axes[cost])
    assert_legible(drawn.figure, drawn.legend.get_texts())


def test_long_names_have_room(assert_legible: Callable[..., None], long_names: list[str], tmp_path: Path) -> None:
    table = curves().replace({"method": dict(zip(METHODS, long_names, strict=True))})
    drawn = draw_budget_curves(table, baseline=long_names[0], higher_is_better=True, value_label="score")
    assert_legible(drawn.figure, drawn.legend.get_texts())
    assert save_figure(drawn.figure, tmp_path / "curves.png").stat().st_size > 10_000


def test_given_axes_are_drawn_into_and_one_domain_has_no_band() -> None:
    figure = new_figure(8, 3)
    axes = (figure.add_axes((0.1, 0.2, 0.35, 0.6)), figure.add_axes((0.6, 0.2, 0.35, 0.6)))
    drawn = draw_budget_curves(curves(1), baseline="plain", higher_is_better=True, value_label="score", axes=axes)
    assert drawn.figure is figure
    assert tuple(drawn.axes.values()) == axes
    assert drawn.bands == {"instances_seen": {}, "wall_seconds": {}}


def test_unknown_methods_are_refused() -> None:
    with pytest.raises(OptionError, match="baseline: 'x' is not among the methods"):
        draw_budget_curves(curves(), baseline="x", higher_is_better=True, value_label="score")
    with pytest.raises(OptionError, match="oracles: 'x' is not among the methods"):
        draw_budget_curves(curves(), baseline="plain", higher_is_better=True, value_label="score", oracles=["x"])
    with pytest.raises(OptionError, match="oracles: plain holds the baseline"):
        draw_budget_curves(curves(), baseline="plain", higher_is_better=True, value_label="score", oracles=["plain"])


def test_curves_are_read_from_a_file(tmp_path: Path) -> None:
    curves().to_parquet(tmp_path / "curves.parquet")
    assert len(read_curves(tmp_path / "curves.parquet")) == len(curves())
    (tmp_path / "curves.parquet").write_text("rubbish")
    with pytest.raises(ResultsFileError, match="cannot be read as parquet"):
        read_curves(tmp_path / "curves.parquet")
    with pytest.raises(ResultsFileError, match="is not a file"):
        read_curves(tmp_path / "none.parquet")
