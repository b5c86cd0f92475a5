"""Contact sheets: which source images to show, and each as a small PNG with its number, weight and kind.

A sheet is a list of tiles that the page lays out by itself, so that it flows on a phone and its captions stay text.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from bdw.report.figure import data_uri
from bdw.report.wording import weight

TILES = 24
LARGEST_SIDE = 192
"""Pixels; larger images are shrunk to it, twice the size at which the page shows them."""
SEED = 0
"""Seed of the draw among images that tie."""
TIES_WITHIN = 12
"""Decimals of a weight beyond which two tie."""
LONGEST_NAME = 26
"""Characters of an image's name that a tile has room for."""


@dataclass(frozen=True)
class Tile:
    """One source image on a sheet. `address` is its PNG as a data URI; texts are plain, not yet escaped."""

    address: str
    number: str
    weight: str
    detail: str
    name: str

    @property
    def short_name(self) -> str:
        """The name; a long one loses its ending and its middle, since folders stand in front and numbers at the
        back."""
        if len(self.name) <= LONGEST_NAME:
            return self.name
        stem = str(PurePosixPath(self.name).with_suffix(""))
        return stem if len(stem) <= LONGEST_NAME else f"{stem[:10]}…{stem[11 - LONGEST_NAME :]}"


@dataclass(frozen=True)
class Choice:
    """The rows of a sheet in their order, and a sentence on those that tie with the last one; empty if none do."""

    rows: pd.DataFrame
    ties: str


def most_useful(weights: pd.DataFrame) -> Choice:
    """The highest mean weights of the weight table, highest first."""
    return _first(weights, "mean", ascending=False, spread=spread_of(weights))


def least_useful(weights: pd.DataFrame) -> Choice:
    """The lowest mean weights, lowest first: of the pruned images where they fill a sheet, otherwise of all."""
    pruned = _pruned(weights)
    pool = pruned if len(pruned) >= TILES else weights
    return _first(pool, "mean", ascending=True, spread=spread_of(weights))


def pruned_first(weights: pd.DataFrame) -> Choice:
    """The pruned images by the epoch after which they went. No rows unless images went after different epochs."""
    pruned = _pruned(weights)
    if pruned["pruned_at_epoch"].nunique() < 2:
        return Choice(pruned.head(0), "")
    return _first(pruned, "pruned_at_epoch", ascending=True)


def _pruned(weights: pd.DataFrame) -> pd.DataFrame:
    return weights[weights["pruned_at_epoch"] > 0]


def spread_of(weights: pd.DataFrame) -> float:
    """The span of the mean weights. Captions take from it how many digits tell the weights apart."""
    return float(np.ptp(weights["mean"])) if len(weights) else 0.0


def _first(pool: pd.DataFrame, name: str, *, ascending: bool, spread: float = 1.0) -> Choice:
    """The first rows by that column; rows that tie come in a random order, the same every time.

    Data sets are sorted by class, so that an order by index would show the first class only.
    """
    # What differs by the rounding of sums alone ties too.
    pool = pool.assign(**{name: pool[name].round(TIES_WITHIN)})
    drawn = pool.iloc[np.random.default_rng(SEED).permutation(len(pool))]
    rows = drawn.sort_values(name, ascending=ascending, kind="stable").head(TILES)
    if rows.empty:
        return Choice(rows, "")
    last = rows[name].iloc[-1]
    num_equal, num_shown = int((pool[name] == last).sum()), int((rows[name] == last).sum())
    if num_equal == num_shown:
        return Choice(rows, "")
    where = f"have the weight {weight(float(last), spread)}" if name == "mean" else f"went after epoch {int(last)}"
    return Choice(rows, f"{num_equal:,} images {where}; {num_shown} of them, drawn at random, are shown.")


def tiles(
    rows: pd.DataFrame, images: npt.NDArray[np.uint8], *, show_epoch: bool = False, spread: float = 1.0
) -> tuple[Tile, ...]:
    """A tile for each row, in order. `images` is the whole source, uint8 (n, c, h, w), indexed by the rows' `index`.

    `spread` is that of the run's weights. The detail below a weight is the planted kind, where there is one, or with
    `show_epoch` the epoch of pruning too.
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
                weight=weight(float(row["mean"]), spread),
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
