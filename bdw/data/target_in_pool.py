"""The target's training images beside the pool's, so that the encoder is trained on them, too; never others of the
target (SimCore trains on both: Kim, Bae and Yun, "Coreset sampling from open-set for fine-grained self-supervised
learning", CVPR 2023)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from bdw.data.instances import Part, Pixels
from bdw.data.packed import PackedDataset
from bdw.data.readers.base import SplitName
from bdw.data.target import Assignment
from bdw.errors import InputError

KIND = "target"
"""Kind of these images, and the first part of their names."""


def with_target(pool: Part, stores: Mapping[SplitName, PackedDataset], assigned: Assignment) -> Part:
    """The pool, and behind it the training images of the target in these stores, without their labels.

    Where it is known which images of the pool are useful, these are. `InputError` if a name is there already.
    """
    share = assigned.shares["train"]
    store, count = stores[share.part], len(pool)
    names = [f"{KIND}/{store.names[row]}" for row in share.rows]
    taken = set(names).intersection(pool.names)
    if taken:
        raise InputError(
            f"target_in_pool: the source already has an image called {min(taken)!r}; allowed: a source without a "
            f"folder {KIND!r}, or target_in_pool false"
        )

    def read(i: int) -> Pixels:
        return pool.read(i) if i < count else np.asarray(store.images[share.rows[i - count]])

    more = len(names)
    kinds = None if pool.kinds is None else np.concatenate([pool.kinds, np.full(more, KIND)])
    return dataclasses.replace(
        pool,
        names=[*pool.names, *names],
        labels=np.concatenate([pool.labels, np.full(more, -1, dtype=np.int64)]),
        read=read,
        fingerprint={"reader": "with-target", "pool": dict(pool.fingerprint), "target": store.content_key,
                     "rows": share.rows.tolist()},
        planted=None if pool.planted is None else np.concatenate([pool.planted, np.ones(more, dtype=np.int8)]),
        kinds=kinds,
        packed=None,
    )  # fmt: skip
