"""Evidence against chance: how far images lie from the mean of their batches, beside what noise alone would show."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from bdw.diagnostics.diagnosis import Histogram
from bdw.report.figure import BLUE, INK, JUNK_COLOURS, PAPER, new_axes


def evidence_histogram(histogram: Histogram, titles: Mapping[str, str] | None = None) -> Figure:
    """Number of images by t statistic, groups stacked, and as a line what noise alone would show.

    The titles name groups in the legend; a group without a title keeps its own name.
    """
    edges = np.array(histogram.edges)
    figure, axes = new_axes("t statistic of an image's evidence", "images", width=5.9, height=4.2)
    colours = {"all": BLUE, "useful": BLUE, "others": JUNK_COLOURS[1]}
    bottom = np.zeros(len(edges) - 1)
    for name, numbers in histogram.groups.items():
        counts = np.array(numbers)
        label = f"{(titles or {}).get(name, name)}, {counts.sum():,}"
        axes.bar(
            edges[:-1], counts, np.diff(edges), bottom, align="edge", color=colours[name], edgecolor=PAPER,
            linewidth=0.5, label=label,
        )  # fmt: skip
        bottom += counts
    axes.stairs(histogram.noise, histogram.edges, color=INK, linewidth=1.8, label="expected of noise alone")
    axes.grid(False, axis="x")
    axes.set_xlim(edges[0], edges[-1])
    axes.axvline(0, color=INK, linestyle=":", linewidth=1.2)
    axes.set_xticks([-6, -4, -2, 0, 2, 4, 6], ["≤ −6", "−4", "−2", "0", "2", "4", "≥ 6"])
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=10, labelcolor=INK)
    return figure
