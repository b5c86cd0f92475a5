"""Parquet files with a column of images, and folders that `datasets.Dataset.save_to_disk` wrote.

Both are read by Arrow alone: the package `datasets` is not needed, and nothing in these files is run or unpickled.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bdw.data.decode import SinglePixels, decode
from bdw.data.deep_pixels import SampleRange
from bdw.data.instances import Part, Pixels
from bdw.data.readers import shard_files
from bdw.data.readers.base import Request, SplitName
from bdw.data.readers.image_columns import ImageColumns, file_in, image_columns, labels_of, names_of
from bdw.data.readers.split_layout import split_of
from bdw.errors import InputError

_PARQUET = "a .parquet file with a column of images, or a folder of such files"
_SAVED = "a folder that `save_to_disk` of Hugging Face's datasets wrote"
_GROUPS_KEPT = 4
"""Row groups of Parquet in memory: images are read in order, by several threads side by side."""

Cell = Callable[[int], Any]
"""The cell of the column of images in a row, as Python has it."""


class ParquetImages:
    """Rows are instances; names are the images' paths, or FILE/ROW."""

    name = "parquet"

    def source(self, request: Request) -> Part:
        """The files called unlabelled or train where names tell splits, otherwise all."""
        return _parquet_part(shard_files.of_source(self._shards(request)), request)

    def target(self, request: Request) -> dict[SplitName, Part]:
        """The splits that names of files or folders tell; all for training where they tell none."""
        shards = shard_files.of_target(self._shards(request), request)
        return {split: _parquet_part(files, request) for split, files in shards.items()}

    def _shards(self, request: Request) -> shard_files.Shards:
        return shard_files.find_shards(request, ".parquet", _PARQUET)


class SavedDataset:
    """A `Dataset` as saved, or a `DatasetDict`, whose splits are folders. Files are memory-mapped."""

    name = "huggingface"

    def source(self, request: Request) -> Part:
        """The split called unlabelled or train of several, or the only one."""
        splits = self._splits(request)
        return _saved_part(shard_files.of_source({split: [folder] for split, folder in splits.items()})[0], request)

    def target(self, request: Request) -> dict[SplitName, Part]:
        """The splits called train, validation and test; a data set without splits is for training."""
        shards = {split: [folder] for split, folder in self._splits(request).items()}
        found = shard_files.of_target(shards, request)
        return {split: _saved_part(folders[0], request) for split, folders in found.items()}

    def _splits(self, request: Request) -> dict[str, Path]:
        root = request.required_path(_SAVED)
        if not (root / "dataset_dict.json").is_file():
            return {"train": root}
        names = _json(root / "dataset_dict.json", request).get("splits")
        if not isinstance(names, list) or not names:
            raise InputError(f"{request.option}: {str(root)!r} names no splits; allowed: {_SAVED}")
        folders = [root / str(name) for name in names if Path(str(name)).name == str(name)]
        return {split_of(folder.name) or folder.name.replace("unlabeled", "unlabelled"): folder for folder in folders}


READERS = (ParquetImages(), SavedDataset())


def _parquet_part(files: Sequence[Path], request: Request) -> Part:
    try:
        opened = [pq.ParquetFile(file, memory_map=True) for file in files]
        columns = image_columns(opened[0].schema_arrow, f"{request.option}: {str(files[0])!r}")
        # Names and labels first, without any image; a file without either still tells how many rows it has.
        beside = [_beside(file, columns) for file in opened]
    except (OSError, pa.ArrowException, KeyError) as error:
        raise _unreadable(files[0], request, error) from error
    return _part(files, beside, columns, _RowGroups(opened, columns.image).cell, request, "parquet")


def _beside(file: pq.ParquetFile, columns: ImageColumns) -> pa.Table:
    if not columns.beside_images:
        return pa.table({"row": np.arange(file.metadata.num_rows)})
    return file.read(columns.beside_images)


class _RowGroups:
    """Cells of a column by row over all files; the row groups that were used last stay in memory."""

    def __init__(self, files: Sequence[pq.ParquetFile], column: str):
        self._files, self._column = files, column
        groups = [(f, g) for f, file in enumerate(files) for g in range(file.metadata.num_row_groups)]
        sizes = [files[f].metadata.row_group(g).num_rows for f, g in groups]
        self._groups, self._starts = groups, np.cumsum([0, *sizes])
        self._kept: OrderedDict[int, pa.ChunkedArray] = OrderedDict()
        self._lock = threading.Lock()

    def cell(self, row: int) -> Any:
        """Of that row, counted over all files."""
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self._read(number)[row - int(self._starts[number])].as_py()

    def _read(self, number: int) -> pa.ChunkedArray:
        with self._lock:
            if number not in self._kept:
                file, group = self._groups[number]
                self._kept[number] = self._files[file].read_row_group(group, columns=[self._column])[self._column]
                if len(self._kept) > _GROUPS_KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(number)
            return self._kept[number]


def _saved_part(folder: Path, request: Request) -> Part:
    told = _json(folder / "state.json", request).get("_data_files")
    names = [entry.get("filename") for entry in told] if isinstance(told, list) else []
    # Names without folders alone: files elsewhere are no part of the data set.
    files = [folder / name for name in names if isinstance(name, str) and Path(name).name == name]
    if not files or len(files) != len(names):
        raise InputError(f"{request.option}: {str(folder)!r} names no data files; allowed: {_SAVED}")
    try:
        tables = [pa.ipc.open_stream(pa.memory_map(str(file))).read_all() for file in files]
        columns = image_columns(tables[0].schema, f"{request.option}: {str(folder)!r}")
        images = pa.chunked_array([chunk for table in tables for chunk in table[columns.image].chunks])
    except (OSError, pa.ArrowException, KeyError) as error:
        raise _unreadable(folder, request, error) from error
    return _part(files, tables, columns, lambda row: images[row].as_py(), request, "huggingface")


def _part(
    files: Sequence[Path], tables: Sequence[pa.Table], columns: ImageColumns, cell: Cell, request: Request, reader: str
) -> Part:
    names = names_of(tables, columns, [file.name[: -len(file.suffix)] for file in files])
    if not names:
        raise InputError(f"{request.option}: {str(request.path)!r} holds no images")
    try:
        labels, classes = labels_of(tables, columns)
    except InputError as error:
        raise InputError(f"{request.option}: {str(request.path)!r}: {error}") from None
    channels = request.channels or 3
    common, single_pixels = SampleRange(lambda: (file_in(cell(row)) for row in range(len(names)))), SinglePixels()

    def read(i: int) -> Pixels:
        return decode(file_in(cell(i)), channels, request.image_size, common, single_pixels)

    return Part(
        names=names,
        labels=labels,
        read=read,
        channels=channels,
        fingerprint={"reader": reader, **shard_files.fingerprint(files)},
        classes=classes,
        remarks=common.remarks,
        counted=single_pixels.counted,
    )


def _json(file: Path, request: Request) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{request.option}: {str(file)!r} cannot be read ({error}); allowed: {_SAVED}") from None
    if not isinstance(found, dict):
        raise InputError(f"{request.option}: {str(file)!r} holds no JSON object; allowed: {_SAVED}")
    return found


def _unreadable(path: Path, request: Request, error: Exception) -> InputError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return InputError(f"{request.option}: {str(path)!r} cannot be read ({reason}); allowed: {_PARQUET}, or {_SAVED}")
