from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from scipy.stats import beta

from bdw.report import weights_figures
from bdw.report.figure import to_png
from bdw.report.weights_figures import PruningRule


def test_the_histogram_counts_every_image_once() -> None:
    means = np.random.default_rng(0).uniform(size=500)
    axes = weights_figures.histogram(means).axes[0]
    assert len(axes.patches) == weights_figures.NUM_BINS
    assert sum(bar.get_height() for bar in axes.patches) == 500  # type: ignore[attr-defined]
    assert axes.get_xlim() == (0, 1)


@pytest.mark.parametrize("means", [[0.5, 0.5], [0.49, 0.51], [0.9991, 1.0]])
def test_narrow_weights_get_an_axis_of_their_own(means: list[float]) -> None:
    axes = weights_figures.histogram(means).axes[0]
    low, high = axes.get_xlim()
    assert low <= min(means) < max(means) + 1e-12 <= high + 1e-12
    assert high - low < 0.1
    assert sum(bar.get_height() for bar in axes.patches) == len(means)  # type: ignore[attr-defined]


def test_planted_groups_are_named_with_their_numbers() -> None:
    figure = weights_figures.planted_histogram({"digit (useful)": [0.9, 0.8], "noise (junk)": [0.1], "x (junk)": [0.2]})
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["digit (useful), 2", "noise (junk), 1", "x (junk), 1"]


def test_more_kinds_than_colours_can_be_drawn() -> None:
    groups = {f"kind {i}": [i / 10] for i in range(9)}
    assert len(weights_figures.planted_histogram(groups).legends[0].get_texts()) == 9
    medians = dict.fromkeys(groups, (1.0, 1.0))
    assert len(weights_figures.density([1, 2], [1, 2], medians=medians).legends[0].get_texts()) == 9


def test_the_density_counts_every_image_once() -> None:
    a, b = np.exp(np.random.default_rng(0).normal(size=(2, 300)))
    (mesh,) = _of_type(weights_figures.density(a, b), QuadMesh)
    assert mesh.get_array().sum() == 300


@pytest.mark.parametrize(
    ("spread", "means"),
    [
        (7.0, [0.1, 0.5, 0.9]),
        (2.0, [0.1, 0.25, 0.5, 0.75, 0.9]),
        (0.5, [0.3, 0.4, 0.5, 0.6, 0.7]),
        (0.05, [0.49, 0.495, 0.5, 0.505, 0.51]),
        (0.005, [0.499, 0.4995, 0.5, 0.5005, 0.501]),
        (1e-4, [0.499, 0.4995, 0.5, 0.5005, 0.501]),
    ],
)
def test_guides_join_equal_means(spread: float, means: list[float]) -> None:
    a = np.exp([-spread, spread])
    axes = weights_figures.density(a, a[::-1]).axes[0]
    assert [text.get_text() for text in axes.texts] == [f"{mean:g}" for mean in means]
    for line, mean in zip(axes.lines, means, strict=True):
        x, y = np.asarray(line.get_xydata()).T
        np.testing.assert_allclose(x / (x + y), mean)


def test_the_boundary_is_where_the_cdf_meets_the_threshold() -> None:
    a = np.exp([-2.0, 2.0])
    figure = weights_figures.density(a, a[::-1], rule=PruningRule(cdf_threshold=0.25, density_threshold=0.5))
    (contour,) = _of_type(figure, QuadContourSet)
    vertices = contour.get_paths()[0].vertices
    mass = beta.cdf(0.25, np.asarray(vertices)[:, 0], np.asarray(vertices)[:, 1])
    np.testing.assert_allclose(mass, 0.5, atol=1e-3)


def test_a_boundary_outside_the_picture_is_not_drawn() -> None:
    figure = weights_figures.density([1.0, 1.01], [1.0, 1.02], rule=PruningRule(0.01, 0.9))
    assert not _of_type(figure, QuadContourSet)
    assert not figure.legends


@pytest.mark.parametrize("spread", [0.0, 1e-4, 0.5, 7.0])
def test_any_spread_has_readable_ticks(spread: float) -> None:
    a = np.exp(np.array([-spread, 0.0, spread]))
    figure = weights_figures.density(a, a[::-1])
    assert to_png(figure).startswith(b"\x89PNG")
    low, high = figure.axes[0].get_xlim()
    assert sum(low <= tick <= high for tick in figure.axes[0].get_xticks()) >= 3


def _of_type(figure: Figure, kind: type) -> list:  # type: ignore[type-arg]
    return [artist for artist in figure.axes[0].collections if isinstance(artist, kind)]


def test_weights_that_lie_close_fill_the_histogram() -> None:
    axes = weights_figures.histogram(np.linspace(0.49999, 0.50001, 1000)).axes[0]
    heights = [patch.get_height() for patch in axes.patches]  # type: ignore[attr-defined]
    assert max(heights) < 60
    low, high = axes.get_xlim()
    assert 2 <= sum(low <= tick <= high for tick in axes.get_xticks()) <= 5


def test_equal_weights_have_an_axis() -> None:
    low, high = weights_figures.histogram([0.3] * 5).axes[0].get_xlim()
    assert low < 0.3 < high


def test_a_density_needs_parameters_that_differ() -> None:
    assert not weights_figures.can_show_density([1.0, 1.001], [1.0, 1.001])
    assert weights_figures.can_show_density([1.0, 1.01], [1.0, 1.0])
