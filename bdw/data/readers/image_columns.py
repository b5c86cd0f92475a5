"""Images and labels in the columns of Arrow tables, as Hugging Face's `datasets` writes them into its files.

An image is the bytes of its file: a column of binary values, or of structs with the fields `bytes` and `path`. Labels
are whole numbers, whose names stand in the schema's metadata, or names. An image that has a path alone is not read:
what lies there is no part of the data set.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bdw.data.instances import UndecodableImageError
from bdw.data.readers.label_column import label_column
from bdw.errors import InputError

_IMAGE_NAMES = ("image", "images", "img", "picture", "photo", "jpg", "jpeg", "png", "webp")
_LABEL_NAMES = ("label", "labels", "class", "target", "cls", "fine_label")
_ALLOWED = "a column of images: binary, or structs with bytes and path"


@dataclass(frozen=True)
class ImageColumns:
    """Which columns hold images and labels."""

    image: str
    has_path: bool
    """Whether images are structs, so that they have a path beside their bytes."""
    label: str | None
    classes: tuple[str, ...] | None
    """Names by label, where the metadata has them."""

    @property
    def beside_images(self) -> list[str]:
        """The columns that tell names and labels, without an image."""
        return [*([f"{self.image}.path"] if self.has_path else []), *([self.label] if self.label else [])]


def image_columns(schema: pa.Schema, what: str) -> ImageColumns:
    """The columns of a table with this schema; `InputError`, which begins with `what`, where that cannot be told."""
    features = _features(schema)
    found = [field for field in schema if _holds_bytes(field.type)]
    marked = [field for field in found if features.get(field.name, {}).get("_type") == "Image"]
    image = _one_of(marked or found, _IMAGE_NAMES)
    if image is None:
        columns = ", ".join(schema.names[:8]) or "none"
        several = f"{len(found)} columns could hold images" if found else "no column holds images"
        raise InputError(f"{what}: {several} (columns: {columns}); allowed: {_ALLOWED}, called image")
    named = [field for field in schema if features.get(field.name, {}).get("_type") == "ClassLabel"]
    plain = [field for field in schema if field.name in _LABEL_NAMES and _can_be_label(field.type)]
    label = _one_of(named, _LABEL_NAMES) or _one_of(plain, _LABEL_NAMES)
    names = features.get(label.name, {}).get("names") if label is not None else None
    return ImageColumns(
        image.name,
        has_path=pa.types.is_struct(image.type) and image.type.get_field_index("path") >= 0,
        label=None if label is None else label.name,
        classes=None if not isinstance(names, list) else tuple(map(str, names)),
    )


def labels_of(tables: Sequence[pa.Table], columns: ImageColumns) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels int64 (n,), -1 for none, and class names; see `label_column`, whose `InputError` it raises."""
    count = sum(len(table) for table in tables)
    if columns.label is None:
        return label_column(None, None, count)
    values = [value for table in tables for value in table[columns.label].to_pylist()]
    is_text = any(isinstance(value, str) for value in values)
    filled = [("" if is_text else -1) if value is None else value for value in values]
    labels = np.array(filled, dtype=np.str_ if is_text else None)
    return label_column(labels, None if columns.classes is None else np.array(columns.classes, dtype=np.str_), count)


def names_of(tables: Sequence[pa.Table], columns: ImageColumns, stems: Sequence[str]) -> list[str]:
    """The paths that the images have, if they all have one and no two the same; otherwise FILE/ROW with the stem of
    their file's name."""
    if columns.has_path:
        paths = [path for table in tables for path in _paths(table, columns.image)]
        if all(paths) and len(set(paths)) == len(paths):
            return [str(path) for path in paths]
    return [f"{stem}/{row:06d}" for stem, table in zip(stems, tables, strict=True) for row in range(len(table))]


def file_in(value: Any) -> bytes:
    """The image file in a cell of the column of images, as Python has it. UndecodableImageError if there is none."""
    if isinstance(value, dict):
        inner, path = value.get("bytes"), value.get("path")
        if inner is None and path:
            raise UndecodableImageError(f"has a path alone ({path}), no bytes")
        value = inner
    if value is None:
        raise UndecodableImageError("is empty")
    return bytes(value)


def _paths(table: pa.Table, image: str) -> list[str | None]:
    column = table[image] if image in table.column_names else table[f"{image}.path"]
    if pa.types.is_struct(column.type):
        return [value for chunk in column.chunks for value in chunk.field("path").to_pylist()]
    paths: list[str | None] = column.to_pylist()
    return paths


def _features(schema: pa.Schema) -> dict[str, Any]:
    """Column -> its feature as `datasets` describes it; {} where the metadata has none."""
    try:
        told = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = told.get("info", {}).get("features", {})
        return {name: kind for name, kind in features.items() if isinstance(kind, dict)}
    except (ValueError, AttributeError):
        return {}


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and _holds_bytes(kind.field(index).type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _can_be_label(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _one_of(fields: Sequence[pa.Field], names: Sequence[str]) -> pa.Field | None:
    """The only one, or the first that has one of these names."""
    if len(fields) == 1:
        return fields[0]
    return next((field for name in names for field in fields if field.name.lower() == name), None)
