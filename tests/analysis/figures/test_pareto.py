from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis import COST_LABELS, draw_pareto, pareto_front, pareto_points
from analysis.errors import ColumnsError, MissingCellsError, NotFiniteError, NotNumericError, OptionError

AXES = {"value_label": "accuracy (%)", "cost_label": COST_LABELS["wall_seconds"]}


def some_points(num: int, seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    cost = generator.uniform(100, 600, num)
    names = ["RotNet", *(f"eta={i % 2 * 9 + 1}, rho=0.{i % 5 + 1}, trial {i}" for i in range(1, num))]
    return pd.DataFrame({"label": names, "value": 60 + cost / 60 + generator.normal(size=num) * 2, "cost": cost})


@pytest.mark.parametrize("higher_is_better", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_front_is_that_of_comparing_all_pairs(seed: int, higher_is_better: bool) -> None:
    # Small whole numbers make many ties and equal points.
    values = pd.DataFrame(np.random.default_rng(seed).integers(0, 5, size=(15, 2)), columns=["value", "cost"])
    sign = 1 if higher_is_better else -1
    beaten = [
        any(
            sign * q.value >= sign * p.value and q.cost <= p.cost and (q.value, q.cost) != (p.value, p.cost)
            for q in values.itertuples()
        )
        for p in values.itertuples()
    ]
    found = pareto_front(values["value"], values["cost"], higher_is_better=higher_is_better)
    assert found.tolist() == [not is_beaten for is_beaten in beaten]


def test_marks_front_baseline_and_the_rest() -> None:
    points = some_points(24)
    drawn = draw_pareto(points, higher_is_better=True, baseline="RotNet", **AXES)
    is_front = pareto_front(points["value"], points["cost"], higher_is_better=True)
    assert set(drawn.front) == set(points["label"][is_front])
    counts = {kind: len(artist.get_offsets()) for kind, artist in drawn.markers.items()}
    assert counts["baseline"] == 1
    assert sum(counts.values()) == 24
    shapes = {kind: artist.get_paths()[0].vertices.shape for kind, artist in drawn.markers.items()}
    assert shapes["baseline"] != shapes["front"]
    assert drawn.axes.get_xlabel() == "wall-clock time (s)"
    assert drawn.axes.get_ylabel() == "accuracy (%)"
    # The staircase never claims more than was measured at that cost or below.
    x, y = drawn.front_line.get_data()
    for cost, value in zip(x, y, strict=True):
        assert value <= points["value"][points["cost"] <= cost + 1e-9].max() + 1e-9


@pytest.mark.parametrize("label_all", [False, True])
@pytest.mark.parametrize(("num", "seed"), [(1, 0), (2, 1), (9, 2), (40, 3)])
def test_labels_overlap_neither_each_other_nor_points(num: int, seed: int, label_all: bool) -> None:
    points = some_points(num, seed)
    drawn = draw_pareto(points, higher_is_better=True, baseline="RotNet", label_all=label_all, **AXES)
    wanted = num if label_all else len({*drawn.front, "RotNet"})
    assert len(drawn.labels) + len(drawn.unlabelled) == wanted
    # Forty points have a front of a dozen: that many long names do not fit into one column.
    if not label_all and num < 40:
        assert drawn.unlabelled == ()
    canvas = drawn.figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    drawn.figure.draw_without_rendering()
    # An annotation's own extent includes its hairline; the patch around its text does not.
    boxes = [super(type(text), text).get_window_extent(canvas.get_renderer()) for text in drawn.labels]
    frame = drawn.axes.get_window_extent()
    for one, other in combinations(boxes, 2):
        assert not one.padded(-0.5).overlaps(other)
    for box in boxes:
        assert frame.padded(1).contains(box.x0, box.y0)
        assert frame.padded(1).contains(box.x1, box.y1)
        for x, y in drawn.axes.transData.transform(points[["cost", "value"]].to_numpy()):
            assert not box.contains(x, y)


def test_two_panels_of_one_figure() -> None:
    figure = Figure(figsize=(7, 2.6), dpi=100)
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    points = some_points(10)
    draw_pareto(points, higher_is_better=True, ax=left, **AXES)
    drawn = draw_pareto(
        points.assign(cost=points["cost"] * 1e4),
        higher_is_better=True,
        value_label="accuracy (%)",
        cost_label=COST_LABELS["instances_seen"],
        ax=right,
    )
    assert drawn.axes is right
    figure.draw_without_rendering()
    assert any("M" in label.get_text() for label in right.get_xticklabels())


def results() -> pd.DataFrame:
    rows = [
        {"method": m, "domain": d, "seed": s, "metric": "accuracy", "value": v + s, "wall_seconds": 10.0 * v + s}
        for m, v in (("a", 1.0), ("b", 2.0))
        for d in ("x", "y")
        for s in (0, 2)
    ]
    return pd.DataFrame(rows).assign(higher_is_better=True)


def test_points_of_a_results_table() -> None:
    points = pareto_points(results(), cost="wall_seconds")
    assert points.to_dict("list") == {"label": ["a", "b"], "value": [2.0, 3.0], "cost": [11.0, 21.0]}
    assert points.attrs == {"metric": "accuracy", "higher_is_better": True}
    # Three rows less, and the averages of a and b would be over different domains.
    with pytest.raises(MissingCellsError, match=r"\(b, y\)"):
        pareto_points(results().iloc[:-2], cost="wall_seconds")
    with pytest.raises(ColumnsError, match="joules absent"):
        pareto_points(results(), cost="joules")


@pytest.mark.parametrize(
    ("points", "error", "message"),
    [
        (some_points(3).drop(columns="cost"), ColumnsError, "cost absent"),
        (some_points(3).iloc[:0], OptionError, "0 rows"),
        (some_points(3).assign(cost=[1, 2, float("inf")]), NotFiniteError, "cost inf of eta"),
        (some_points(3).assign(value=["high", 1, 2]), NotNumericError, "value 'high' of RotNet"),
    ],
)
def test_bad_points_are_refused(points: pd.DataFrame, error: type[ValueError], message: str) -> None:
    with pytest.raises(error, match=message):
        draw_pareto(points, higher_is_better=True, **AXES)


def test_unknown_baseline_lists_the_points() -> None:
    with pytest.raises(OptionError, match="baseline: Rotnet not among the points; allowed: RotNet"):
        draw_pareto(some_points(3), higher_is_better=True, baseline="Rotnet", **AXES)
