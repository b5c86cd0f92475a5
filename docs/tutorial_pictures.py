"""Draw the tutorial's pictures from what its commands left: `python docs/tutorial_pictures.py runs/tutorial`.

FOLDER/pool is the packed pool; FOLDER/recommended and FOLDER/plain are runs on it. Pictures go to FOLDER/pictures.
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bdw.data import PackedDataset

ROWS, COLUMNS = 4, 20


def sheet(ax: Axes, pool: PackedDataset, numbers: np.ndarray, title: str) -> None:
    """Images of the pool by their numbers, in rows."""
    tiles = np.pad(pool.images[numbers, 0], ((0, 0), (1, 1), (1, 1)), constant_values=255)
    side = tiles.shape[-1]
    rows = tiles.reshape(-1, COLUMNS, side, side).transpose(0, 2, 1, 3).reshape(-1, COLUMNS * side)
    ax.imshow(rows, cmap="gray", vmin=0, vmax=255)
    ax.set_title(title, loc="left")
    ax.set_axis_off()


def draw_pool(pool: PackedDataset) -> plt.Figure:
    """Eighty images of the pool, as they come."""
    figure, ax = plt.subplots(figsize=(8, 2), layout="constrained")
    sheet(ax, pool, np.arange(ROWS * COLUMNS), "The first 80 images of the pool")
    return figure


def draw_ranked(pool: PackedDataset, weights: pd.DataFrame) -> plt.Figure:
    """The images that the run thinks most and least of."""
    order = weights.sort_values("mean", ascending=False, kind="stable")["index"].to_numpy()
    figure, axes = plt.subplots(2, 1, figsize=(8, 2.4), layout="constrained")
    sheet(axes[0], pool, order[: 2 * COLUMNS], "Highest mean weight")
    sheet(axes[1], pool, order[-2 * COLUMNS :], "Lowest mean weight")
    return figure


def draw_weights(weights: pd.DataFrame) -> plt.Figure:
    """How many images of each kind have which mean weight."""
    figure, ax = plt.subplots(figsize=(8, 2.8), layout="constrained")
    kinds = sorted(weights["kind"].unique(), key=lambda kind: (kind != "letter", kind))
    ax.hist([weights["mean"][weights["kind"] == kind] for kind in kinds], bins=20, range=(0, 1), stacked=True)
    ax.legend(kinds)
    ax.set(xlabel="mean weight", ylabel="images", yscale="symlog", xlim=(0, 1))
    return figure


def draw_curves(runs: dict[str, Path]) -> plt.Figure:
    """Accuracy on the validation split against the images that each run trained on."""
    figure, ax = plt.subplots(figsize=(8, 2.8), layout="constrained")
    for name, run in runs.items():
        metrics = pd.read_csv(run / "metrics.csv").dropna(subset="validation_score")
        ax.plot(metrics["instances_seen"], 100 * metrics["validation_score"], marker="o", label=name)
    ax.legend()
    ax.set(xlabel="images that passed a training step", ylabel="validation accuracy (%)")
    return figure


def main(folder: Path) -> None:
    """Write the four pictures."""
    pool = PackedDataset.open(folder / "pool")
    weights = pd.read_parquet(folder / "recommended" / "instance_weights.parquet")
    pictures = folder / "pictures"
    pictures.mkdir(exist_ok=True)
    for name, figure in {
        "pool": draw_pool(pool),
        "curves": draw_curves({"recommended": folder / "recommended", "plain training": folder / "plain"}),
        "weights": draw_weights(weights),
        "ranked": draw_ranked(pool, weights),
    }.items():
        figure.savefig(pictures / f"{name}.png", dpi=150)
        print(pictures / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
