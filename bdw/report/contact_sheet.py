"""Contact sheets: which source images to show, and each as a small PNG with its number, weight and kind.

A sheet is a list of tiles that the page lays out by itself, so that it flows on a phone and its captions stay text.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from bdw.report.figure import data_uri
from bdw.report.wording import weight

TILES = 24
LARGEST_SIDE = 192
"""Pixels; larger images are shrunk to it, twice the size at which the page shows them."""


@dataclass(frozen=True)
class Tile:
    """One source image on a sheet. `address` is its PNG as a data URI; texts are plain, not yet escaped."""

    address: str
    number: str
    weight: str
    detail: str
    name: str


def most_useful(weights: pd.DataFrame) -> pd.DataFrame:
    """The rows of the weight table with the highest mean weights, highest first; ties in order of index."""
    return weights.sort_values(["mean", "index"], ascending=[False, True], kind="stable").head(TILES)


def least_useful(weights: pd.DataFrame) -> pd.DataFrame:
    """The rows of the weight table with the lowest mean weights, lowest first; ties in order of index."""
    return weights.sort_values(["mean", "index"], kind="stable").head(TILES)


def pruned_first(weights: pd.DataFrame) -> pd.DataFrame:
    """The pruned rows by the epoch after which they went, lowest weights first within an epoch. May be empty."""
    pruned = weights[weights["pruned_at_epoch"] > 0]
    return pruned.sort_values(["pruned_at_epoch", "mean", "index"], kind="stable").head(TILES)


def tiles(rows: pd.DataFrame, images: npt.NDArray[np.uint8], *, show_epoch: bool = False) -> tuple[Tile, ...]:
    """A tile for each row, in order. `images` is the whole source, uint8 (n, c, h, w), indexed by the rows' `index`.

    The detail below a weight is the planted kind, where there is one, or with `show_epoch` the epoch of pruning too.
    """
    made = []
    for row in rows.to_dict("records"):
        index = int(row["index"])
        details = []
        if show_epoch:
            details.append(f"epoch {int(row['pruned_at_epoch'])}")
        if int(row.get("planted", -1)) >= 0:
            details.append(str(row.get("kind") or ("useful" if row["planted"] == 1 else "junk")))
        made.append(
            Tile(
                address=data_uri(image_png(images[index])),
                number=f"#{index}",
                weight=weight(float(row["mean"])),
                detail=", ".join(details),
                name=str(row["name"]),
            )
        )
    return tuple(made)


def image_png(pixels_CHW: npt.NDArray[np.uint8]) -> bytes:
    """One uint8 image (c, h, w) as PNG bytes: grey for one channel, colour for three, the channels' mean otherwise."""
    if pixels_CHW.shape[0] == 3:
        picture = Image.fromarray(np.ascontiguousarray(pixels_CHW.transpose(1, 2, 0)))
    else:
        picture = Image.fromarray(np.ascontiguousarray(pixels_CHW.mean(axis=0).round().astype(np.uint8)))
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
