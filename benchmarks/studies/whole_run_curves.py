"""What the methods of `benchmarks.whole_run` gain over plain training, against seconds:
`python -m benchmarks.studies.whole_run_curves NAME PICTURE`.

A panel for each target. Both axes compare with plain training on the same target and seed: seconds are shares of what
it took, and the validation accuracy is that above the accuracy at its end. So 0 is what plain training reaches, and
what seeds have in common does not widen the bands: 95 % intervals of the mean over seeds (Student).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import t as student_t

from analysis import save_figure
from analysis.figures.figure_style import FULL_WIDTH, GREY, new_figure, series_style, style_axes
from benchmarks import harness
from benchmarks.whole_run import ROTNET, STOPPED, SUBSET

_FONT_SIZE = 7.5


def draw_curves(runs: Sequence[dict[str, Any]]) -> Figure:
    """The figure of these rows of a result file."""
    targets = list(dict.fromkeys(run["target"] for run in runs))
    figure = new_figure(FULL_WIDTH, 2.4)
    panels = figure.subplots(1, len(targets), squeeze=False)[0]
    for ax, target in zip(panels, targets, strict=True):
        own = [run for run in runs if run["target"] == target]
        _draw_panel(ax, own)
        ax.set_title(target, fontsize=_FONT_SIZE, parse_math=False)
        label = "points above plain training's end" if ax is panels[0] else ""
        style_axes(ax, "seconds / plain training's", label, font_size=_FONT_SIZE)
        ax.axhline(0, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1.5)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=len(labels), fontsize=_FONT_SIZE, frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 0.92))
    return figure


def curves(runs: Sequence[dict[str, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """By method of one target's runs: (points, 3), mean share of plain training's seconds, mean difference in points to
    the accuracy at plain training's end on the same seed, and half the width of its 95 % interval over seeds (NaN for a
    single seed)."""
    plain = {run["seed"]: run for run in runs if run["method"] == ROTNET}
    whole = {seed: run["seconds"] for seed, run in plain.items()}
    level = {seed: [score for *_, score in run["curve"] if np.isfinite(score)][-1] for seed, run in plain.items()}
    found = {}
    for method in dict.fromkeys(run["method"] for run in runs):
        own = [run for run in runs if run["method"] == method]
        lines = [
            [
                (seconds / whole[run["seed"]], 100 * (score - level[run["seed"]]))
                for seconds, _, score in run["curve"]
                if np.isfinite(score)
            ]
            for run in own
        ]
        # Runs that are stopped at others' time differ in length.
        points = np.array([line[: min(map(len, lines))] for line in lines])
        half = np.full(points.shape[1], np.nan)
        if len(points) > 1:
            half = student_t.ppf(0.975, len(points) - 1) * points[:, :, 1].std(axis=0, ddof=1) / np.sqrt(len(points))
        found[method] = np.column_stack([points.mean(axis=0), half])
    return found


def _draw_panel(ax: Axes, runs: Sequence[dict[str, Any]]) -> None:
    names = {ROTNET: "plain", STOPPED: "plain, stopped at that time", SUBSET: "plain, random subset of the kept size"}
    for position, (method, line) in enumerate(curves(runs).items()):
        style = series_style(position)
        ax.fill_between(
            line[:, 0], line[:, 1] - line[:, 2], line[:, 1] + line[:, 2], color=style.colour, alpha=0.12, linewidth=0
        )
        ax.plot(
            line[:, 0],
            line[:, 1],
            color=style.colour,
            marker=style.marker,
            markersize=3 * style.marker_scale,
            linewidth=1,
            label=names.get(method, "weighted and pruned"),
        )


def main(name: str, picture: str) -> None:
    """Draw `benchmarks/results/<name>.json` into that file."""
    result = json.loads((harness.RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    print(save_figure(draw_curves(result["runs"]), Path(picture)))


if __name__ == "__main__":
    main(*sys.argv[1:3])
