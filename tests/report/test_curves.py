from __future__ import annotations

import math

import numpy as np

from bdw.evaluation import measure
from bdw.report import curves


def test_a_curve_leaves_out_what_was_not_measured() -> None:
    (line,) = curves.curve([1, 2, 3], [0.5, math.nan, 0.25], "loss").axes[0].lines
    np.testing.assert_array_equal(line.get_xydata(), [[1, 0.5], [3, 0.25]])


def test_the_best_epoch_is_ringed_and_named() -> None:
    axes = curves.validation_curve([1, 2, 3], [0.5, 0.75, 0.7], measure("accuracy"), 2).axes[0]
    assert len(axes.lines) == 2
    np.testing.assert_array_equal(axes.lines[1].get_xydata(), [[2, 0.75]])
    assert [text.get_text() for text in axes.texts] == ["best"]
    assert len(curves.validation_curve([1], [0.5], measure("accuracy"), None).axes[0].lines) == 1


def test_the_name_of_the_best_epoch_keeps_off_the_axis() -> None:
    for best, side in ((1, "left"), (2, "center")):
        (text,) = curves.validation_curve([1, 2, 3], [0.75, 0.75, 0.7], measure("accuracy"), best).axes[0].texts
        assert text.get_horizontalalignment() == side


def test_the_kept_share_starts_at_everything() -> None:
    axes = curves.kept_curve([1, 2], [0.8, 0.4]).axes[0]
    for line in axes.lines:
        np.testing.assert_array_equal(line.get_xydata(), [[0, 1], [1, 0.8], [2, 0.4]])
    assert axes.get_ylim()[0] == 0


def test_axes_are_named() -> None:
    axes = curves.curve([1], [1], "meta-loss").axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "meta-loss")


def test_the_balance_has_a_named_line_each() -> None:
    axes = curves.balance_curve([1, 2], [3.0, 4.0], [0.0, 5.0]).axes[0]
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["spent on weighting", "saved by pruning"]
    for line, expected in zip(axes.lines, ([[1, 3], [2, 4]], [[1, 0], [2, 5]]), strict=True):
        np.testing.assert_array_equal(line.get_xydata(), expected)
