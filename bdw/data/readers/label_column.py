"""Labels as people write them into arrays, to class numbers and their names."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bdw.data.readers.base import distinct
from bdw.errors import InputError


def label_column(
    labels: NDArray[Any] | None, classes: NDArray[Any] | None, count: int
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels int64 (count,), -1 for none, and the class names by label.

    `labels` are whole numbers or names, (n,) or (n, 1), or one-hot rows (n, C). Names are numbered in their order, or
    as in `classes`. Numbers without `classes` are their own names; where they exceed the number of images, only those
    that occur become classes. Names that two classes share get their number. InputError for anything else.
    """
    if labels is None:
        return np.full(count, -1, dtype=np.int64), () if classes is None else distinct(classes.ravel().tolist())
    if labels.ndim == 2 and labels.shape[1] > 1:
        labels = _from_one_hot(labels)
    elif labels.ndim == 2:
        labels = labels[:, 0]
    if labels.shape != (count,):
        raise InputError(f"labels of shape {labels.shape}; labels must be {count} numbers or names, or one-hot rows")
    known = None if classes is None else classes.ravel().tolist()
    if labels.dtype.kind in "US":
        return _from_names(labels.tolist(), known)
    if labels.dtype.kind not in "biuf":
        raise InputError(f"labels are {labels.dtype}; labels must be {count} numbers or names, or one-hot rows")
    if labels.dtype.kind == "f" and not (np.isfinite(labels) & (labels == np.floor(labels))).all():
        wrong = labels[~(np.isfinite(labels) & (labels == np.floor(labels)))][0]
        raise InputError(f"a label is {wrong}; labels must be {count} numbers without fractions, or names")
    lowest, highest = int(labels.min()), int(labels.max())
    last = count - 1 if known is None else len(known) - 1
    if lowest < -1 or (known is not None and highest > last):
        wrong = lowest if lowest < -1 else highest
        raise InputError(f"a label is {wrong}; labels must be {count} numbers from -1 (none) to {last}")
    if known is not None:
        return labels.astype(np.int64), distinct(known)
    if highest <= last:
        return labels.astype(np.int64), tuple(map(str, range(highest + 1)))
    ids = np.unique(labels[labels >= 0])
    numbers = np.searchsorted(ids, labels).astype(np.int64)
    return np.where(labels >= 0, numbers, -1), tuple(str(int(number)) for number in ids)


def _from_one_hot(rows: NDArray[Any]) -> NDArray[np.int64]:
    if rows.dtype.kind not in "biuf" or not (((rows == 0) | (rows == 1)).all() and (rows.sum(axis=1) == 1).all()):
        raise InputError(f"labels of shape {rows.shape} that are not one-hot; allowed: a single 1 in each row, else 0")
    return np.asarray(rows.argmax(axis=1), dtype=np.int64)


def _from_names(labels: list[Any], known: list[Any] | None) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Names as numbers; an empty one means no label."""
    names = sorted({label for label in labels if label}) if known is None else known
    if len(set(names)) < len(names):
        raise InputError("labels are names, and classes has a name twice; allowed: each once, or numbers as labels")
    number_of = {name: number for number, name in enumerate(names)}
    unknown = sorted({str(label) for label in labels if label and label not in number_of})
    if unknown:
        raise InputError(f"a label is {unknown[0]!r}, which is not in classes; labels must be names of classes")
    return np.array([number_of[label] if label else -1 for label in labels], dtype=np.int64), distinct(names)
