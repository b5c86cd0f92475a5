"""Weights from a file, so that anybody's scores can be compared: fixed, used as they are (see `normalise_weights`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from bdw.config import WeighterConfig
from bdw.data import Problem
from bdw.data.packed import PackedDataset
from bdw.data.weights_file import WeightsFile, read_weights
from bdw.errors import InputError
from bdw.weighting.selection.protocol import Acts, Toolkit


@dataclass(frozen=True)
class FromFile:
    """The weights of a file. An instance of weight 0, or not kept, is pruned before the first epoch."""

    file: WeightsFile
    acts: ClassVar[Acts] = Acts.IN_LOSS | Acts.BY_PRUNING

    @classmethod
    def from_config(cls, config: WeighterConfig) -> Self:
        """With the config's `weights_file`; `InputError` without a readable file of good weights."""
        return cls.of(config.weights_file, "weighter 'given'")

    @classmethod
    def of(cls, weights_file: str | None, what: str) -> Self:
        """Of the file with that path; `InputError` that names who needs it without one."""
        if weights_file is None:
            raise InputError(f"weights_file: none cannot work with {what}; allowed: a Parquet or CSV file")
        return cls(read_weights(Path(weights_file).expanduser()))

    def weights(self, problem: Problem, toolkit: Toolkit) -> NDArray[np.float64]:
        """The file's weights by instance; `InputError` unless it names every image of the source exactly once."""
        weights = np.empty(len(problem.source))
        weights[_rows(self.file, problem.source)] = self.file.weights
        return weights


def _rows(file: WeightsFile, source: PackedDataset) -> NDArray[np.int64]:
    """Which instance each row of the file belongs to, a permutation of 0 to n - 1."""
    if file.content_key not in (None, source.content_key):
        raise InputError(
            f"weights_file: {file.path} holds weights of another data set (content key {file.content_key}, the "
            f"source's is {source.content_key}); allowed: weights of the very images in {source.path}"
        )
    by_index = file.indices is not None
    rows = file.indices if file.indices is not None else _found_by_name(file, source)
    outside = rows[(rows < 0) | (rows >= len(source))]
    if len(outside):
        raise InputError(
            f"weights_file: {file.path}: index {outside[0]} is not in the source; allowed: 0 to {len(source) - 1}"
        )
    counts = np.bincount(rows, minlength=len(source))
    for bad, what in ((counts > 1, "more than once"), (counts == 0, "not at all")):
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            raise InputError(
                f"weights_file: {file.path} names {int(bad.sum())} of the source's {len(source)} images {what}, such "
                f"as {f'index {first}' if by_index else repr(str(source.names[first]))}; allowed: each image once"
            )
    if by_index and file.names is not None and (differ := file.names != source.names[rows]).any():
        first = int(np.flatnonzero(differ)[0])
        raise InputError(
            f"weights_file: {file.path}: index {rows[first]} is named {str(file.names[first])!r}, the source's image "
            f"is {str(source.names[rows[first]])!r}; allowed: weights of the very images in {source.path}"
        )
    return rows


def _found_by_name(file: WeightsFile, source: PackedDataset) -> NDArray[np.int64]:
    assert file.names is not None
    numbers = {str(name): i for i, name in enumerate(source.names.tolist())}
    unknown = [name for name in file.names.tolist() if name not in numbers]
    if unknown:
        raise InputError(
            f"weights_file: {file.path} names {unknown[0]!r}, which is not in the source ({len(unknown)} such "
            f"name(s)); allowed: names of the images in {source.path}"
        )
    return np.array([numbers[name] for name in file.names.tolist()], dtype=np.int64)
