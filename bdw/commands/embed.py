"""`bdw embed`: what an encoder makes of every image of a pool, with names."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bdw.commands.first_checks import check_embed
from bdw.data import packing_bar
from bdw.encoders import Encoder
from bdw.errors import InputError
from bdw.evaluation.features import Features, Settings, check_layer, extract_features
from bdw.parallel import device
from bdw.runs.directory import RunDirectory
from bdw.runs.encoder_input import InputTransform
from bdw.runs.export import read_encoder
from bdw.scoring.pool import Pool, PoolRequest, as_of_run, open_pool, skipped_lines
from bdw.scoring.shards import batches
from bdw.storage.atomic_write import replacing

if TYPE_CHECKING:
    from bdw.commands.options import Embed

NAMES = ".names.npy"
"""What stands in the place of .npy in the name of the file with the names."""


def embed(command: Embed) -> None:
    """Write the features and say how many there are."""
    check_embed(command)
    out = command.out
    if command.run is not None:
        file = RunDirectory(command.run).encoder
    else:
        assert command.encoder is not None
        file = command.encoder
    encoder, metadata = read_encoder(file)
    check_layer(encoder, command.layer)
    transform = InputTransform.of(metadata)
    pool = open_pool(_request(command, transform))
    print(f"pool    {command.pool}: {len(pool.part):,} images")
    if pool.remark:
        print(f"note    {pool.remark}", flush=True)
    encoder.to(device.choose(command.device))
    skipped: list[dict[str, Any]] = []
    began = time.monotonic()
    with packing_bar() as bar:
        done = 0

        def advance(images: int) -> None:
            nonlocal done
            done += images
            bar("embedding, images", done, len(pool.part))

        parts = _features(pool, encoder, transform, command.layer, skipped, advance)
        count, width = _write_parquet(out, parts, pool) if out.suffix == ".parquet" else _write_npy(out, parts, pool)
    for line in skipped_lines(pool.part, skipped):
        print(line)
    seconds = time.monotonic() - began
    print(
        f"wrote   {count:,} x {width} features (layer {command.layer or 'output'}) in {seconds:.1f} s "
        f"({count / seconds:,.0f} images/s): {out}"
    )


def _request(command: Embed, transform: InputTransform) -> PoolRequest:
    if command.run is not None:
        return as_of_run(
            RunDirectory(command.run),
            command.pool,
            data_root=command.data_root,
            download=command.download,
            data_seed=command.data_seed,
        )
    return PoolRequest(
        spec=command.pool,
        image_size=transform.image_size,
        channels=transform.channels,
        data_root=command.data_root,
        download=command.download,
        data_seed=command.data_seed or 0,
    )


def _features(
    pool: Pool,
    encoder: Encoder,
    transform: InputTransform,
    layer: str | None,
    skipped: list[dict[str, Any]],
    advance: Any,
) -> Iterator[tuple[list[str], Features]]:
    """Names and features (m, d) of batches of the pool, in order."""
    settings = Settings(crop_size=transform.crop_size, layer=layer)
    for names, images in batches(pool.part, range(len(pool.part)), skipped, advance):
        yield names, extract_features(encoder, transform.stored(images), settings)


def _write_parquet(out: Path, parts: Iterator[tuple[list[str], Features]], pool: Pool) -> tuple[int, int]:
    """Columns `name`, `filepath` (of a folder) and `embedding`, a list of as many float32 in every row; how many rows
    and numbers."""
    with contextlib.ExitStack() as stack:
        temporary = stack.enter_context(replacing(out))
        file = stack.enter_context(temporary.open("wb"))
        writer: pq.ParquetWriter | None = None
        count = width = 0
        for names, features in parts:
            width = features.shape[1]
            column = pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), width)
            words = {"name": names, **pool.columns(names)}
            table = pa.table({**{key: pa.array(some, pa.string()) for key, some in words.items()}, "embedding": column})
            if writer is None:
                writer = stack.enter_context(pq.ParquetWriter(file, table.schema))
            writer.write_table(table)
            count += len(names)
        _require_some(count)
    return count, width


def _write_npy(out: Path, parts: Iterator[tuple[list[str], Features]], pool: Pool) -> tuple[int, int]:
    """A float32 array (n, d), and beside it the names in the same order; how many rows and numbers."""
    names: list[str] = []
    with replacing(out) as temporary:
        array: NDArray[np.float32] | None = None
        for some, features in parts:
            if array is None:
                shape = (len(pool.part), features.shape[1])
                array = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
            array[len(names) : len(names) + len(some)] = features
            names += some
        _require_some(len(names))
        assert array is not None
        width = array.shape[1]
        if len(names) < len(array):
            whole = np.array(array[: len(names)])
            with temporary.open("wb") as file:
                np.save(file, whole, allow_pickle=False)
        # The names first, so that features are never without them.
        with replacing(out.with_name(out.stem + NAMES)) as beside, beside.open("wb") as file:
            np.save(file, np.array(names, dtype=np.str_), allow_pickle=False)
    return len(names), width


def _require_some(count: int) -> None:
    if not count:
        raise InputError("pool: none of its images can be read; allowed: at least one that can")
