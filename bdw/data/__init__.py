"""Images in: readers, the packed store, splits, batches and augmentation.

`load` turns a data config into a `Problem`, `pack` writes one packed data set, `available` lists the readers. Batches
and augmentation, which need torch, are in `bdw.data.batches` and `bdw.data.augment`.
"""

from bdw.data.labelled_images import LabelledImages, Target
from bdw.data.manifest import Description
from bdw.data.pack_request import pack
from bdw.data.packed import PackedDataset
from bdw.data.packing import pack_arrays, write_packed
from bdw.data.problem import describe, load, load_target
from bdw.data.progress import packing_bar
from bdw.data.readers import available
from bdw.data.source_and_targets import Problem

__all__ = [
    "Description",
    "LabelledImages",
    "PackedDataset",
    "Problem",
    "Target",
    "available",
    "describe",
    "load",
    "load_target",
    "pack",
    "pack_arrays",
    "packing_bar",
    "write_packed",
]
