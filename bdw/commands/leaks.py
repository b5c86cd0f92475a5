"""`bdw leaks`: images of a pool that are, or nearly are, what an encoder is to be measured on."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from bdw.config import DataConfig
from bdw.config.selector_options import PIXELS
from bdw.data import Problem, load, packing_bar
from bdw.data.leaks import Leak, held_out_images, in_words
from bdw.data.perceptual_hash import SIDE
from bdw.data.source_and_targets import LabelledProgress
from bdw.data.weights_file import CONTENT_KEY
from bdw.errors import InputError
from bdw.runs.export import write_table
from bdw.storage.atomic_write import require_new

if TYPE_CHECKING:
    from bdw.commands.options import Leaks

COLUMNS = ("name", "split", "held_out")
SHOWN = 10
"""Leaks that the console shows; a table holds all."""


def list_leaks(command: Leaks) -> None:
    """Say how many there are, name some, and write the table if it is asked for."""
    for name, file in (("out", command.out), ("clean", command.clean)):
        if file is not None and file.suffix.lower() != ".parquet":
            raise InputError(f"{name}: {file} ends in {file.suffix!r}; allowed: .parquet")
        if file is not None:
            require_new(file)
    if command.image_size < SIDE:
        raise InputError(
            f"image_size: {command.image_size} cannot work, smaller images of one kind look alike; allowed: at least "
            f"{SIDE}"
        )
    _check_features(command)
    with tempfile.TemporaryDirectory() as folder, packing_bar() as bar:
        problem = load(_config(command), Path(folder), bar)
        found = problem.all_leaks(bar)
        if command.features is not None:
            found = _with_crops(command, problem, found, bar)
        target, names = problem.target, problem.source.names.tolist()
        print(f"pool    {command.pool}: {len(problem.source):,} images")
    print(
        f"target  {command.target}: {len(target.validation):,} validation, {len(target.test):,} test images\n"
        f"leaks   {_counted(found)}"
    )
    for leak in found[:SHOWN]:
        verb = "is a part of, or holds," if leak.is_crop else "is nearly"
        print(f"        {leak.name} {verb} {leak.split} image {leak.held_out}")
    if len(found) > SHOWN:
        print(f"        ... {len(found) - SHOWN:,} more")
    if command.out is not None:
        columns = {name: pa.array([getattr(leak, name) for leak in found], pa.string()) for name in COLUMNS}
        is_crop = pa.array([leak.is_crop for leak in found], pa.bool_())
        write_table(command.out, pa.table({**columns, "is_crop": is_crop}))
        print(f"table   {command.out}")
    if command.clean is not None:
        weights = np.ones(len(names))
        weights[[leak.row for leak in found]] = 0
        table = pa.table({"name": pa.array(names, pa.string()), "weight": weights})
        # Names alone tell whom the rows belong to: a run may pack the same images at another size.
        write_table(command.clean, table.replace_schema_metadata({CONTENT_KEY: b""}))
        print(f"clean   {command.clean}")
    if any(leak.is_crop for leak in found):
        print("advice  fit --selector given --selector.weights-file FILE, the file of --clean, trains on the others")
    elif found:
        print("advice  fit --data.without-leaks leaves them out of the pool")


def _check_features(command: Leaks) -> None:
    if command.features is None or command.features == PIXELS:
        return
    # Encoders take long to import.
    from bdw.training.embedders import check_features

    try:
        check_features(command.features, command.image_size)
    except InputError as error:
        raise InputError(str(error).removeprefix("selector.")) from None


def _with_crops(
    command: Leaks, problem: Problem, whole: tuple[Leak, ...], progress: LabelledProgress
) -> tuple[Leak, ...]:
    """These leaks and, of other images, crops."""
    from bdw.data.cropped_leaks import find_cropped_leaks, small_pictures

    embed: Callable[[NDArray[np.uint8]], NDArray[np.float32]] = small_pictures
    if command.features is not None and command.features != PIXELS:
        from bdw.training.embedders import embedder

        encoder = embedder(command.features, _config(command), problem.source.channels)
        embed = functools.partial(encoder, device=torch.device("cpu"))
    told = functools.partial(progress, "looking for crops, images")
    crops = find_cropped_leaks(problem.source, problem.held_out, embed, told)
    known = {(leak.row, leak.split) for leak in whole}
    return tuple(sorted((*whole, *(each for each in crops if (each.row, each.split) not in known)), key=_place))


def _place(leak: Leak) -> tuple[int, str]:
    return leak.row, leak.split


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
