from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis import draw_domain_dots
from analysis.errors import ColumnsError, DuplicateError, NotFiniteError, OptionError
from analysis.figures.figure_style import FULL_WIDTH

LABEL = "accuracy (%, higher is better)"


def results(methods: list[str], domains: list[str], num_seeds: int = 3) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    rows = [
        {"method": method, "domain": domain, "seed": seed, "metric": "accuracy", "value": generator.uniform(40, 90)}
        for method in methods
        for domain in domains
        for seed in range(num_seeds)
    ]
    return pd.DataFrame(rows)


def test_every_seed_is_a_dot_and_every_mean_a_marker_in_the_row_of_its_domain() -> None:
    table = results(["a", "b"], ["x", "y", "z"])
    drawn = draw_domain_dots(table, value_label=LABEL)
    means = table.groupby(["method", "domain"])["value"].mean()
    for method in ("a", "b"):
        at = np.asarray(drawn.means[method].get_offsets())
        assert at[:, 0].tolist() == pytest.approx([means[method, domain] for domain in "xyz"])
        assert np.rint(at[:, 1]).tolist() == [0, 1, 2]
        assert (np.abs(at[:, 1] - np.rint(at[:, 1])) < 0.45).all()
        dots = np.asarray(drawn.seeds[method].get_offsets())
        own = table[table["method"] == method]
        assert dots[:, 0].tolist() == pytest.approx(own["value"].tolist())
        assert np.rint(dots[:, 1]).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
        low, high = drawn.ranges[method].get_segments()[1][:, 0]
        middle = own[own["domain"] == "y"]["value"]
        assert (low, high) == pytest.approx((middle.min(), middle.max()))
    # Means are larger than dots, methods differ in colour and in shape.
    assert drawn.means["a"].get_sizes()[0] > 2 * drawn.seeds["a"].get_sizes()[0]
    assert drawn.means["a"].get_facecolor().tolist() != drawn.means["b"].get_facecolor().tolist()
    assert drawn.means["a"].get_paths()[0].vertices.shape != drawn.means["b"].get_paths()[0].vertices.shape
    assert [text.get_text() for text in drawn.domain_names] == ["x", "y", "z"]
    assert [text.get_text() for text in drawn.legend.get_texts()] == ["a", "b"]
    # The first domain is on top.
    bottom, top = drawn.axes.get_ylim()
    assert bottom > top


def test_methods_and_domains_are_chosen_and_ordered() -> None:
    table = results(["a", "b", "c"], ["x", "y", "z"])
    drawn = draw_domain_dots(table, value_label=LABEL, methods=["c", "a"], domains=["z", "x"])
    assert [text.get_text() for text in drawn.legend.get_texts()] == ["c", "a"]
    assert [text.get_text() for text in drawn.domain_names] == ["z", "x"]


def test_cells_without_a_measurement_are_named_and_left_empty() -> None:
    table = results(["a", "b"], ["x", "y"]).iloc[:-3]
    drawn = draw_domain_dots(table, value_label=LABEL)
    assert drawn.missing == (("b", "y"),)
    assert len(drawn.means["b"].get_offsets()) == 1


@pytest.mark.parametrize("width", [3.3, FULL_WIDTH])
@pytest.mark.parametrize(("num_methods", "num_domains"), [(1, 1), (4, 10), (10, 30)])
def test_legible(num_methods: int, num_domains: int, width: float, assert_legible: Callable[..., None]) -> None:
    methods, domains = ([f"{kind} {i}" for i in range(n)] for kind, n in (("method", num_methods), ("d", num_domains)))
    drawn = draw_domain_dots(results(methods, domains), value_label=LABEL, width=width)
    low, high = drawn.axes.get_xlim()
    ticks = [text for text in drawn.axes.get_xticklabels() if low <= text.get_position()[0] <= high]
    texts = [*drawn.domain_names, *drawn.legend.get_texts(), drawn.axes.xaxis.label, *ticks]
    assert_legible(drawn.figure, texts)
    assert drawn.figure.get_size_inches()[0] == pytest.approx(width)
    # A page is 11 inches high.
    assert drawn.figure.get_size_inches()[1] < 10


def test_long_names_are_broken_and_never_mathematics(
    long_names: list[str], assert_legible: Callable[..., None]
) -> None:
    drawn = draw_domain_dots(results(long_names, long_names), value_label=LABEL)
    assert_legible(drawn.figure, [*drawn.domain_names, *drawn.legend.get_texts(), drawn.axes.xaxis.label])
    shown = ["".join(text.get_text().split()) for text in drawn.legend.get_texts()]
    assert shown == ["".join(name.split()) for name in long_names]


def test_draws_into_given_axes() -> None:
    figure = Figure(figsize=(6.8, 3))
    FigureCanvasAgg(figure)
    ax = figure.add_axes((0.2, 0.2, 0.7, 0.6))
    assert draw_domain_dots(results(["a"], ["x"]), value_label=LABEL, ax=ax).axes is ax
    figure.draw_without_rendering()


@pytest.mark.parametrize(
    ("table", "change", "error", "message"),
    [
        (results(["a"], ["x"]).drop(columns="seed"), {}, ColumnsError, "seed absent"),
        (results(["a"], ["x"]).assign(seed=0), {}, DuplicateError, r"\(a, x, 0\)"),
        (results(["a"], ["x"]).assign(value=np.inf), {}, NotFiniteError, "value: inf"),
        (results(["a"], ["x"]), {"methods": ["b"]}, OptionError, "methods: b not in the table; allowed: a"),
        (results(["a"], ["x"]), {"domains": []}, OptionError, "domains: none; allowed: x"),
        (results(["a"], ["x"]), {"domains": ["x", "x"]}, OptionError, "domains: x, x; allowed: x, each at most once"),
        (results(list("abcdefghijk"), ["x"]), {}, OptionError, "methods: 11 in the table; allowed: at most 10"),
    ],
)
def test_bad_input_is_refused(
    table: pd.DataFrame, change: dict[str, Any], error: type[ValueError], message: str
) -> None:
    with pytest.raises(error, match=message):
        draw_domain_dots(table, value_label=LABEL, **change)
