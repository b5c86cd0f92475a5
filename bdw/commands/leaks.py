"""`bdw leaks`: images of a pool that are, or nearly are, what an encoder is to be measured on."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from bdw.config import DataConfig
from bdw.data import load, packing_bar
from bdw.data.leaks import Leak, held_out_images, in_words
from bdw.data.perceptual_hash import SIDE
from bdw.errors import InputError
from bdw.runs.export import write_table
from bdw.storage.atomic_write import require_new

if TYPE_CHECKING:
    from bdw.commands.options import Leaks

SHOWN = 10
"""Leaks that the console shows; a table holds all."""


def list_leaks(command: Leaks) -> None:
    """Say how many there are, name some, and write the table if it is asked for."""
    out = command.out
    if out is not None:
        if out.suffix.lower() != ".parquet":
            raise InputError(f"out: {out} ends in {out.suffix!r}; allowed: .parquet")
        require_new(out)
    if command.image_size < SIDE:
        raise InputError(
            f"image_size: {command.image_size} cannot work, smaller images of one kind look alike; allowed: at least "
            f"{SIDE}"
        )
    with tempfile.TemporaryDirectory() as folder, packing_bar() as bar:
        problem = load(_config(command), Path(folder), bar)
        found = problem.all_leaks(bar)
        target = problem.target
        print(f"pool    {command.pool}: {len(problem.source):,} images")
    print(
        f"target  {command.target}: {len(target.validation):,} validation, {len(target.test):,} test images\n"
        f"leaks   {_counted(found)}"
    )
    for leak in found[:SHOWN]:
        print(f"        {leak.name} is nearly {leak.split} image {leak.held_out}")
    if len(found) > SHOWN:
        print(f"        ... {len(found) - SHOWN:,} more")
    if out is not None:
        columns = {
            "name": [leak.name for leak in found],
            "split": [leak.split for leak in found],
            "held_out": [leak.held_out for leak in found],
        }
        write_table(out, pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}))
        print(f"table   {out}")
    if found:
        print("advice  fit --data.without-leaks leaves them out of the pool")


def _config(command: Leaks) -> DataConfig:
    return DataConfig(
        source=command.pool,
        target=command.target,
        image_size=command.image_size,
        crop_size=command.image_size,
        data_root=command.data_root,
        cache_dir=None if command.cache_dir is None else str(command.cache_dir),
        download=command.download,
        validation_fraction=command.validation_fraction,
        data_seed=command.data_seed,
    )


def _counted(found: tuple[Leak, ...]) -> str:
    if not found:
        return "none"
    images = " and ".join(f"{number:,} {split}" for split, number in held_out_images(found).items())
    return f"{in_words(found).partition(', such as')[0]}: {images} images"
