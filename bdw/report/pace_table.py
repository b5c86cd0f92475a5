"""Which epochs learnt weights how often, and from how many target images, where that changed within a run."""

from __future__ import annotations

import itertools

import pandas as pd

from bdw.report.page import Table
from bdw.report.table_files import column


def pace_table(metrics: pd.DataFrame) -> Table | None:
    """A row for every stretch of epochs that learnt alike; None if all did, or it is not known of all."""
    # NaN where there is no such column.
    if not all((column(metrics, name) >= 0).all() for name in ("meta_every", "meta_batch")):
        return None
    epochs, every, images = (column(metrics, name).astype(int) for name in ("epoch", "meta_every", "meta_batch"))
    rows = []
    for (interval, batch), group in itertools.groupby(
        zip(epochs, every, images, strict=True), key=lambda epoch: (epoch[1], epoch[2])
    ):
        numbers = [number for number, _, _ in group]
        first, last = numbers[0], numbers[-1]
        rows.append((str(first) if first == last else f"{first} to {last}", _steps(interval), f"{batch:,}"))
    return (
        Table(("epochs", "steps that learnt weights", "target images a meta-batch"), tuple(rows))
        if len(rows) > 1
        else None
    )


def _steps(interval: int) -> str:
    if interval == 0:
        return "none"
    return "all" if interval == 1 else f"the first of every {interval}"
