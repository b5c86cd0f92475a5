import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from optuna._hypervolume import compute_hypervolume

from analysis import draw_pareto, hypervolume
from analysis.errors import NotFiniteError, OptionError

AXES = {"value_label": "accuracy (%)", "cost_label": "time (s)"}


def points(seed: int, num: int = 12) -> pd.DataFrame:
    # Whole numbers: ties in one coordinate, equal points, points on the border of the area and beyond it.
    values = np.random.default_rng(seed).integers(0, 9, size=(num, 2)).astype(float)
    return pd.DataFrame(values, columns=["value", "cost"])


@pytest.mark.parametrize("higher_is_better", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_counts_the_unit_squares_that_a_point_dominates(seed: int, higher_is_better: bool) -> None:
    table = points(seed)
    cost, value = (7, 1) if higher_is_better else (7, 8)
    found = hypervolume(table["value"], table["cost"], higher_is_better=higher_is_better, reference=(cost, value))
    squares = itertools.product(range(-1, cost), range(value, 10) if higher_is_better else range(-1, value))
    expected = sum(
        any(
            p.cost <= x and (p.value >= y + 1 if higher_is_better else p.value <= y)
            for p in table.itertuples(index=False)
        )
        for x, y in squares
    )
    assert found == expected


@pytest.mark.parametrize("seed", range(20))
def test_agrees_with_optuna(seed: int) -> None:
    generator = np.random.default_rng(seed)
    table = pd.DataFrame(generator.normal(size=(30, 2)), columns=["value", "cost"])
    reference = (0.5, -0.3)
    inside = table[(table["cost"] < reference[0]) & (table["value"] > reference[1])]
    # Optuna minimises both.
    losses = np.column_stack([inside["cost"], -inside["value"]])
    expected = compute_hypervolume(losses, np.array([reference[0], -reference[1]]))
    found = hypervolume(table["value"], table["cost"], higher_is_better=True, reference=reference)
    assert found == pytest.approx(expected, rel=1e-12)


def test_nothing_better_than_the_reference_has_no_area() -> None:
    table = points(0)
    assert hypervolume(table["value"], table["cost"], higher_is_better=True, reference=(-1, 0)) == 0
    assert hypervolume(table["value"][:0], table["cost"][:0], higher_is_better=True, reference=(1, 0)) == 0


def test_drawn_area_is_the_number_that_is_written(assert_legible: Callable[..., None]) -> None:
    table = points(3).assign(label=[f"trial {i}" for i in range(12)])
    drawn = draw_pareto(table, higher_is_better=True, shade_hypervolume=True, reference=(9, -1), **AXES)
    assert drawn.hypervolume == hypervolume(table["value"], table["cost"], higher_is_better=True, reference=(9, -1))
    assert drawn.area is not None
    assert drawn.area_label is not None
    drawn_area = sum(np.ptp(p.vertices[:, 0]) * np.ptp(p.vertices[:, 1]) for p in drawn.area.get_paths())
    assert drawn_area == pytest.approx(drawn.hypervolume)
    assert drawn.area_label.get_text() == f"shaded: hyper-volume {drawn.hypervolume:.4g}\nreference: (9, -1)"
    assert_legible(drawn.figure, [drawn.area_label, *drawn.legend.get_texts()])
    low, high = drawn.axes.get_xlim()
    assert low < 9 < high


def test_default_reference_is_the_worst_seen_and_says_so() -> None:
    table = points(4).assign(label="x")
    for higher_is_better in (True, False):
        drawn = draw_pareto(table, higher_is_better=higher_is_better, shade_hypervolume=True, **AXES)
        worst = table["value"].min() if higher_is_better else table["value"].max()
        assert drawn.reference == (table["cost"].max(), worst)
        assert drawn.area_label is not None
        assert drawn.area_label.get_text().endswith("worst seen")
    assert draw_pareto(table, higher_is_better=True, **AXES).hypervolume is None


def test_bad_references_and_points_are_refused() -> None:
    table = points(0).assign(label="x")
    for wrong in ((1,), (1, float("nan")), "ab", (1, 2, 3), None):
        with pytest.raises(OptionError, match="reference: "):
            hypervolume(table["value"], table["cost"], higher_is_better=True, reference=wrong)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="reference: "):
        draw_pareto(table, higher_is_better=True, shade_hypervolume=True, reference=(1, np.inf), **AXES)
    with pytest.raises(NotFiniteError):
        hypervolume(table["value"], table["cost"] * np.nan, higher_is_better=True, reference=(1, 1))
