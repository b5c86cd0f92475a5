"""What users take home: the encoder as safetensors, the weights and results as Parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from torch import Tensor

from bdw import encoders
from bdw.config.encoder import Norm
from bdw.data.packed import PackedDataset
from bdw.data.weights_file import CONTENT_KEY
from bdw.encoders import Encoder
from bdw.errors import InputError
from bdw.storage.atomic_write import replacing
from bdw.storage.spelt_out import spelt_out
from bdw.storage.tensor_file import contents_of, tensors_in, write_tensors

if TYPE_CHECKING:
    from bdw.weighting.keep_mask import KeepMask
    from bdw.weighting.task_keep_mask import TaskKeepMask
    from bdw.weighting.weighters.protocol import WeightTable

RESULT_COLUMNS = (
    "method", "domain", "seed", "metric", "value", "higher_is_better", "wall_seconds", "instances_seen",
    "kept_fraction", "run",
)  # fmt: skip


INPUT_RANGE = {"input_low": "-1", "input_high": "1"}
"""What pixel values 0 and 255 become before an encoder sees them, with a straight line between (`to_float`)."""


def facts_of(encoder: Encoder) -> dict[str, str]:
    """What a user of the bare backbone must know: what it wants as input, what comes out, which layers there are.

    Pixels become (value / 255 - mean) / deviation, by channel where there are several numbers.
    """
    mean, deviation = (",".join(f"{value:g}" for value in values) for values in encoder.normalisation)
    return {
        "mean": mean,
        "deviation": deviation,
        "feature_dim": str(encoder.feature_dim),
        "layers": ",".join(encoder.layers()),
    }


def write_encoder(path: Path, encoder: str, backbone: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """The backbone's state, loadable with `strict=True` into the bare architecture whose head is removed.

    For the ResNets that is torchvision's class with `fc` set to Identity, for timm's models `timm.create_model(NAME,
    num_classes=0)`. `metadata` (name -> value, kept as strings) says how large images must be, and `facts_of`;
    `INPUT_RANGE` stands beside it where the backbone wants that range.
    """
    wants_it = metadata.get("mean", "0.5") == metadata.get("deviation", "0.5") == "0.5"
    scaling = INPUT_RANGE if wants_it else {}
    strings = {"encoder": encoder, **scaling, **{name: str(value) for name, value in metadata.items()}}
    write_tensors(path, backbone, strings)


def read_encoder(path: Path) -> tuple[Encoder, dict[str, str]]:
    """The encoder in a file of `write_encoder`, in evaluation mode, and its metadata; `InputError` for any other
    file."""
    return encoder_in(contents_of(path, "encoder file"), f"encoder file {path}")


def encoder_in(contents: bytes, what: str) -> tuple[Encoder, dict[str, str]]:
    """`read_encoder` of a file's contents; errors call it `what`."""
    tensors, metadata = tensors_in(contents, what)
    if not {"encoder", "channels", "crop_size"} <= set(metadata):
        raise InputError(f"{what} was not written by bdw: it does not say which architecture it holds")
    norm = metadata.get("norm", "batch")
    if norm not in get_args(Norm):
        raise InputError(f"{what}: norm {norm!r} is not known to this version")
    size = int(metadata["crop_size"])
    encoder = encoders.build(metadata["encoder"], int(metadata["channels"]), size, cast(Norm, norm))
    encoder.backbone.load_state_dict(tensors, strict=True)
    return encoder.eval(), metadata


def weights_table(source: PackedDataset, weights: WeightTable, mask: KeepMask) -> pa.Table:
    """index, name, a, b, mean, variance, kept, pruned_at_epoch; for a planted source also planted and kind.

    The file's metadata names the source, so that `weighter=given` can refuse the weights of another one.
    """
    columns = {
        "index": np.arange(len(source), dtype=np.int64),
        "name": pa.array(source.names.tolist(), pa.string()),
        "a": weights.a,
        "b": weights.b,
        "mean": weights.mean,
        "variance": weights.variance,
        "kept": mask.kept.numpy(),
        "pruned_at_epoch": mask.pruned_at_epoch.numpy(),
    }
    if source.planted is not None and source.planted_kinds is not None:
        columns["planted"] = source.planted
        columns["kind"] = pa.array(source.planted_kinds.tolist(), pa.string())
    return pa.table(columns).replace_schema_metadata({CONTENT_KEY: source.content_key})


def write_weights_file(path: Path, names: NDArray[np.str_], weights: NDArray[np.float64], content_key: str) -> None:
    """Weights (n,) of the images of the source with that content key, as `weights_file` takes them."""
    columns = {"index": np.arange(len(names)), "name": pa.array(names.tolist(), pa.string()), "weight": weights}
    write_table(path, pa.table(columns).replace_schema_metadata({CONTENT_KEY: content_key}))


def task_weights_table(
    source: PackedDataset, weights: Sequence[WeightTable], mask: TaskKeepMask, tasks: Sequence[str]
) -> pa.Table:
    """index, name, task, a, b, mean, variance, kept, pruned_at_epoch: a row for every image and task, image by image.

    The file's metadata names the source.
    """
    count = len(tasks)

    def column(name: str) -> NDArray[np.float64]:
        return np.stack([getattr(each, name) for each in weights], axis=1).ravel()

    columns = {
        "index": np.repeat(np.arange(len(source), dtype=np.int64), count),
        "name": pa.array(np.repeat(source.names, count).tolist(), pa.string()),
        "task": pa.array(list(tasks) * len(source), pa.string()),
        **{name: column(name) for name in ("a", "b", "mean", "variance")},
        "kept": mask.kept_by_task.numpy().ravel(),
        "pruned_at_epoch": mask.pruned_at_epoch_by_task.numpy().ravel(),
    }
    return pa.table(columns).replace_schema_metadata({CONTENT_KEY: source.content_key})


def write_table(path: Path, table: pa.Table) -> None:
    """A Parquet file, whole or not at all."""
    # Arrow opens no path that is not UTF-8, Python does.
    with replacing(path) as temporary, temporary.open("wb") as file:
        pq.write_table(table, file)


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The table in a Parquet file, or these columns of it."""
    with path.open("rb") as file:
        return pq.read_table(file, columns=columns)


def results_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The long results table (docs/design.md, section 7), one row per (method, domain, seed, metric)."""
    types = {
        "method": pa.string(), "domain": pa.string(), "seed": pa.int64(), "metric": pa.string(),
        "value": pa.float64(), "higher_is_better": pa.bool_(), "wall_seconds": pa.float64(),
        "instances_seen": pa.int64(), "kept_fraction": pa.float64(), "run": pa.string(),
    }  # fmt: skip
    columns = {name: [row[name] for row in rows] for name in RESULT_COLUMNS}
    for name in ("domain", "run"):
        columns[name] = list(map(spelt_out, columns[name]))
    return pa.table({name: pa.array(values, types[name]) for name, values in columns.items()})


def instances_seen(path: Path) -> list[int]:
    """The column of that name of a results table."""
    column: list[int] = read_table(path, ["instances_seen"])["instances_seen"].to_pylist()
    return column
