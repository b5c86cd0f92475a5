"""Put labels beside the points of a scatter plot so that none covers another label or a point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.text import Text

from analysis.figures.figure_style import GREY
from analysis.figures.label_text import text_height, text_width, wrap

Floats = npt.NDArray[np.float64]

_POINT_RADIUS = 3.5
"""Points (1/72 inch) around a marker that labels keep free."""
_RING = 5.0
"""Points between two rings of places."""
_NEAR = 2 * _POINT_RADIUS
"""Points up to which it is plain whose label it is; further away a hairline joins the two."""


class Label(NamedTuple):
    """A text and the point that it names, in data coordinates."""

    text: str
    x: float
    y: float
    reach: float
    """How many points (1/72 inch) it may go away; important labels further than others."""


@dataclass(frozen=True)
class _Place:
    text: str
    offset: tuple[float, float]
    # Left, bottom, right, top.
    box: Floats
    # (m, 2), points along the hairline; empty for a label beside its point.
    hairline: Floats
    cost: float


def place_labels(
    ax: Axes,
    labels: Sequence[Label],
    *,
    obstacles: Floats,
    staircase: Floats,
    font_size: float,
) -> tuple[tuple[Text, ...], tuple[str, ...]]:
    """Write labels near their points, each at the best place that the ones before it left free.

    Args:
        ax: axes with their final limits and size; labels stay inside them.
        labels: the most important first.
        obstacles: (n, 2), all points of the plot in data coordinates.
        staircase: (m, 2), corners of a line of level and upright pieces in data coordinates, to be kept free too.
        font_size: of the labels, in points.

    Returns:
        the texts written, and the labels for which there was no free place. A label that had to go far from its point
        is joined to it by a hairline.
    """
    # Limits are settled lazily: until somebody asks for them, the transformation is that of an empty plot.
    ax.get_xlim(), ax.get_ylim()
    figure = ax.get_figure(root=True)
    assert figure is not None
    to_points = 72 / figure.dpi
    frame = ax.get_window_extent()
    inside = np.array([frame.x0, frame.y0, frame.x1, frame.y1]) * to_points
    centres = np.asarray(ax.transData.transform(obstacles)) * to_points
    corners = np.asarray(ax.transData.transform(staircase)) * to_points
    pieces = [np.concatenate([np.minimum(a, b) - 1, np.maximum(a, b) + 1]) for a, b in pairwise(corners)]
    fixed = np.array([*np.hstack([centres - _POINT_RADIUS, centres + _POINT_RADIUS]), *pieces])
    at = [np.asarray(ax.transData.transform((label.x, label.y))) * to_points for label in labels]
    # Labels that are placed first get the best places, so both orders are tried and the better one is taken.
    attempts = [
        _place_in_order(order, labels, at, centres, fixed, inside, font_size)
        for order in (range(len(labels)), range(len(labels) - 1, -1, -1))
    ]
    places = min(attempts, key=lambda found: (-len(found), sum(place.cost for place in found.values())))
    texts = []
    for i in sorted(places):
        hairline = {"arrowstyle": "-", "color": GREY, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 2}
        texts.append(
            ax.annotate(
                places[i].text,
                (labels[i].x, labels[i].y),
                xytext=places[i].offset,
                textcoords="offset points",
                ha="center",
                va="center",
                fontsize=font_size,
                parse_math=False,
                arrowprops=hairline if len(places[i].hairline) > 0 else None,
                zorder=4,
            )
        )
    return tuple(texts), tuple(label.text for i, label in enumerate(labels) if i not in places)


def _place_in_order(
    order: Sequence[int],
    labels: Sequence[Label],
    at: Sequence[Floats],
    centres: Floats,
    fixed: Floats,
    inside: Floats,
    font_size: float,
) -> dict[int, _Place]:
    places: dict[int, _Place] = {}
    for i in order:
        taken = np.array([*fixed, *(place.box for place in places.values())])
        boxes = np.array([place.box for place in places.values()]).reshape(-1, 4)
        hairlines = np.concatenate([np.empty((0, 2)), *(place.hairline for place in places.values())])
        candidates: list[_Place] = []
        for text in dict.fromkeys(
            wrap(labels[i].text, font_size, share * (inside[2] - inside[0])) for share in (0.45, 0.27)
        ):
            half = np.array([text_width(text, font_size) / 2 + 0.5, text_height(text, font_size) / 2])
            offsets, distances = _ring_places(half, labels[i].reach)
            around = np.hstack([at[i] + offsets - half, at[i] + offsets + half])
            free = np.all((around[:, :2] >= inside[:2]) & (around[:, 2:] <= inside[2:]), axis=1)
            free &= ~_overlapping(around, taken).any(axis=1) & ~_within(hairlines, around).any(axis=0)
            candidates.extend(
                place
                for offset, distance, box in zip(offsets[free], distances[free], around[free], strict=True)
                if not _within(
                    (place := _place(text, offset, float(distance), box, at[i], centres)).hairline, boxes
                ).any()
            )
        if candidates:
            places[i] = min(candidates, key=lambda place: place.cost)
    return places


def _ring_places(half: Floats, reach: float) -> tuple[Floats, Floats]:
    """Return (n, 2) centres of labels of half that size in rings around a point, and how far (n,) each label is off."""
    distances = np.repeat(np.arange(_POINT_RADIUS + 0.5, _POINT_RADIUS + 1 + reach, _RING), 24)
    angles = np.radians(np.tile(np.arange(0, 360, 15), len(distances) // 24))
    directions = np.column_stack([np.cos(angles), np.sin(angles)]).round(9)
    return directions * distances[:, None] + np.sign(directions) * half, distances


def _place(text: str, offset: Floats, distance: float, box: Floats, at: Floats, centres: Floats) -> _Place:
    hairline = np.empty((0, 2))
    # Several lines are harder to read than one, places above and below a point than those beside it.
    cost = distance + 3 * text.count("\n") + (1 if abs(offset[1]) > 1e-6 else 0)
    if distance > _NEAR:
        end = np.clip(at, box[:2], box[2:])
        hairline = at + np.linspace(0, 1, 30)[:, None] * (end - at)
        crossed = np.linalg.norm(hairline[:, None] - centres, axis=2).min(axis=0) < _POINT_RADIUS
        # The hairline starts at one point; each further one makes it doubtful whose label it is.
        cost += 10 + 25 * (int(crossed.sum()) - 1)
    return _Place(text, (float(offset[0]), float(offset[1])), box, hairline, cost)


def _overlapping(boxes: Floats, others: Floats) -> npt.NDArray[np.bool_]:
    """(n, m): which of (n, 4) boxes share room with which of (m, 4) others."""
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    return np.asarray(np.all((low < others[:, 2:]) & (others[:, :2] < high), axis=2))


def _within(points: Floats, boxes: Floats) -> npt.NDArray[np.bool_]:
    """(n, m): which of (n, 2) points lie in which of (m, 4) boxes."""
    return np.asarray(np.all((points[:, None] > boxes[:, :2]) & (points[:, None] < boxes[:, 2:]), axis=2))
