from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bdw.diagnostics.replay import Replay, Thresholds
from bdw.report.figure import to_png
from bdw.report.replay_map import replay_map


def test_a_panel_for_every_lambda_and_one_colour_bar(replayed: Replay) -> None:
    *panels, bar = replay_map(replayed).axes
    assert [axes.get_title() for axes in panels] == ["λ = 0.1", "λ = 0.4"]
    assert bar.get_ylabel() == "share of the images pruned"
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["0.3", "0.9"]
    first, second = (np.ma.getdata(axes.images[0].get_array()) for axes in panels)
    np.testing.assert_allclose(first, [[0, 0.1, 0.2], [0, 0, 0]])
    np.testing.assert_allclose(second, [[np.nan] * 3, [0.5, 0.6, 0.98]])
    assert {axes.images[0].get_clim() for axes in panels} == {(0, 1)}, "one bar must hold for all panels"


def test_cells_lie_at_their_epoch_and_rho(replayed: Replay) -> None:
    assert replay_map(replayed).axes[0].images[0].get_extent() == pytest.approx((0.5, 3.5, -0.5, 1.5))


def test_dots_say_how_far_it_is_exact_and_numbers_how_it_ends(replayed: Replay) -> None:
    figure = replay_map(replayed)
    dots = [[tuple(line.get_xydata()[0]) for line in axes.lines] for axes in figure.axes[:2]]
    assert dots == [[(2, 0), (3, 1)], [(1, 1)]]
    texts = [[text.get_text() for text in axes.texts] for axes in figure.axes[:2]]
    assert texts == [["at the end", "20 %", "0 %"], ["at the end", "λ > ρ", "98 %"]]


def test_a_line_where_the_run_itself_pruned(replayed: Replay) -> None:
    disturbed = replay_map(dataclasses.replace(replayed, own=Thresholds(0.1, 0.3), own_first_pruned=2))
    (line,) = (line for line in disturbed.axes[0].lines if line.get_linestyle() == ":")
    assert list(line.get_xdata()) == [2.5, 2.5]
    labels = [text.get_text() for text in disturbed.legends[0].get_texts()]
    assert labels == ["exact up to here", "the run itself pruned"]


def test_it_can_be_drawn(replayed: Replay) -> None:
    assert to_png(replay_map(replayed)).startswith(b"\x89PNG")
