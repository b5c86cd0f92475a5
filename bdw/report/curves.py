"""Curves over epochs: what the training did, one figure a quantity so that a phone shows them one below the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from bdw.evaluation import Measure
from bdw.report.figure import BLUE, INK, VERMILION, new_axes


def curve(epochs: Sequence[float], values: Sequence[float], label: str, *, colour: str = BLUE) -> Figure:
    """One line with a marker per epoch. Epochs at which the value is NaN (not measured) are left out of the line."""
    figure, axes = new_axes("epoch", label)
    _line(axes, epochs, values, colour)
    return figure


def validation_curve(
    epochs: Sequence[float], scores: Sequence[float], measure: Measure, best_epoch: int | None
) -> Figure:
    """The validation score by epoch; the epoch whose encoder was kept is ringed and named."""
    figure = curve(epochs, scores, f"validation {measure.label}")
    axes = figure.axes[0]
    if measure.is_share:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    by_epoch = dict(zip(epochs, scores, strict=True))
    if best_epoch in by_epoch:
        best = by_epoch[best_epoch]
        axes.plot([best_epoch], [best], "o", markersize=11, markerfacecolor="none", color=VERMILION, markeredgewidth=2)
        # Beside the ring at the first epoch, where there is an axis to its left.
        at_start = best_epoch == min(epochs)
        axes.annotate(
            "best",
            (best_epoch, best),
            xytext=(9, -4) if at_start else (0, -17 if measure.higher_is_better else 11),
            textcoords="offset points",
            ha="left" if at_start else "center",
            color=VERMILION,
            fontsize=10,
        )
    return figure


def kept_curve(epochs: Sequence[float], shares: Sequence[float]) -> Figure:
    """Share of the source still trained on after each epoch, on an axis from 0 to 100 %."""
    figure, axes = new_axes("epoch", "share of images kept")
    # Pruning happens between epochs, so the share is a step function that starts at everything.
    axes.step([0, *epochs], [1.0, *shares], where="post", color=BLUE, linewidth=2)
    axes.plot([0, *epochs], [1.0, *shares], "o", color=BLUE, markersize=4)
    axes.set_ylim(0, 1.04)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    _whole_epochs(axes)
    return figure


def balance_curve(epochs: Sequence[float], spent: Sequence[float], saved: Sequence[float]) -> Figure:
    """Seconds spent on weighting and saved by pruning since the start: where they cross, weighting has paid."""
    figure, axes = new_axes("epoch", "seconds since the start")
    _line(axes, epochs, spent, VERMILION)
    _line(axes, epochs, saved, BLUE)
    axes.legend(axes.lines, ("spent on weighting", "saved by pruning"), frameon=False)
    return figure


def _line(axes: Axes, epochs: Sequence[float], values: Sequence[float], colour: str) -> None:
    x, y = np.asarray(epochs, dtype=np.float64), np.asarray(values, dtype=np.float64)
    known = np.isfinite(y)
    axes.plot(x[known], y[known], "o-", color=colour, linewidth=2, markersize=4)
    axes.margins(y=0.15)
    axes.yaxis.label.set_color(INK)
    _whole_epochs(axes)


def _whole_epochs(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
