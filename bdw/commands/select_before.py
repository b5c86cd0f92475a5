"""`bdw select --selector NAME`: what a selector would choose before training, without training."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from bdw import data
from bdw.config import DataConfig, SelectorConfig
from bdw.config.checks import require_at_least
from bdw.config.selector_options import PIXELS
from bdw.data.packed import PackedDataset
from bdw.data.problem import cache_folder
from bdw.data.readers.addresses import CACHE
from bdw.data.source_and_targets import LabelledProgress
from bdw.data.weights_file import CONTENT_KEY
from bdw.encoders.timm_models import PREFIX as TIMM
from bdw.errors import InputError
from bdw.parallel import device
from bdw.runs.encoder_input import InputTransform
from bdw.runs.export import read_encoder
from bdw.training.embedders import check_features, embedder, file_of
from bdw.weighting import selection
from bdw.weighting.selection.cost import Cost
from bdw.weighting.selection.protocol import Parallel, Selection, Toolkit, one_after_another

if TYPE_CHECKING:
    from bdw.commands.options import Select

IMAGE_SIZE = 96
"""Side in pixels to which images are resized where neither the command nor an encoder says; that of `bdw pack`."""


class Chosen(NamedTuple):
    """What came of it."""

    table: pa.Table
    """name, mean (1 for what is chosen, otherwise 0) and kept of every image, in the pool's order."""
    cost: Cost


def select_before_training(command: Select, progress: LabelledProgress | None) -> Chosen:
    """The choice of the command's selector; what was packed and embedded is kept in the cache.

    Raises `InputError` for what cannot work.
    """
    config = _config(command)
    selection.chooser(config)
    features = getattr(config.selector_options, "features", None)
    size = _image_size(command.image_size, features)
    check_features(features, size)
    assert command.pool is not None
    assert command.target is not None
    wanted = DataConfig(
        source=command.pool,
        target=command.target,
        data_root=command.data_root,
        cache_dir=CACHE if command.cache_dir is None else command.cache_dir,
        image_size=size,
        crop_size=size,
        data_seed=command.data_seed,
    )
    folder = cache_folder(wanted, Path())
    problem = data.load(wanted, folder, progress)
    if command.num_workers is not None and command.device == "cuda":
        raise InputError("device: 'cuda' cannot work with num_workers, each of one CPU; allowed: auto, cpu")
    toolkit = Toolkit(
        device=device.choose("cpu" if command.num_workers is not None else command.device),
        cache_dir=folder,
        seed=command.seed,
        progress=progress,
        embedder=functools.partial(embedder, data=wanted, channels=problem.source.channels),
    )
    with _parallel(command.num_workers) as in_parallel:
        found = selection.select(config, problem, dataclasses.replace(toolkit, in_parallel=in_parallel))
    return Chosen(_table(problem.source, found), found.cost)


@contextlib.contextmanager
def _parallel(num_workers: int | None) -> Iterator[Parallel]:
    if num_workers is None:
        yield one_after_another
        return
    require_at_least("num_workers", num_workers, 1, "at least 1, or none")
    # Ray takes seconds to import.
    from bdw.ray.parallel import side_by_side

    with side_by_side(num_workers) as found:
        yield found


def _config(command: Select) -> SelectorConfig:
    """The selector with its size; `InputError` for options of a choice by scores."""
    for name, value, usual in (
        ("scores", command.scores, None),
        ("at_least", command.at_least, None),
        ("clusters", command.clusters, None),
        ("features", command.features, None),
        ("near_duplicates", command.near_duplicates, True),
    ):
        if value != usual:
            raise InputError(
                f"{name}: {value} cannot work with selector {command.selector.selector!r}, which needs no scores; "
                "allowed: count or share, the selector's own options, pool and target"
            )
    for field in ("pool", "target"):
        if getattr(command, field) is None:
            raise InputError(f"{field}: none cannot work with a selector; allowed: images, named as for fit")
    if command.count is not None and command.share is not None:
        raise InputError("count, share: both given; allowed: one of them")
    if command.count is not None:
        return command.selector.with_options({"selected_count": command.count}, {})
    return (
        command.selector
        if command.share is None
        else command.selector.with_options({"selected_share": command.share}, {})
    )


def _image_size(given: int | None, features: str | None) -> int:
    if given is not None:
        return given
    if features is None or features == PIXELS or features.startswith(TIMM):
        return IMAGE_SIZE
    return InputTransform.of(read_encoder(file_of(features))[1]).image_size


def _table(source: PackedDataset, found: Selection) -> pa.Table:
    columns = {
        "name": pa.array(source.names.tolist(), pa.string()),
        "mean": found.weights,
        "kept": found.chosen,
    }
    # Names alone tell whom the rows belong to: a run may pack the same images at another size.
    return pa.table(columns).replace_schema_metadata({CONTENT_KEY: b""})
