"""What selectors compare images by: pixels, or the features of an encoder that is not trained.

Letters: n images of the pool, m of the target, d numbers of each.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bdw.config.selector_options import PIXELS, FeatureOptions
from bdw.data import Problem
from bdw.errors import InputError
from bdw.storage.tensor_file import contents_of, tensors_in, write_tensors
from bdw.weighting.selection.protocol import Embedder, Toolkit
from bdw.weighting.selection.size import by_name

WHITE = np.float32(255)
BLOCK = 4096
"""Images embedded between two words on progress."""
Features = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Vectors:
    """The pool and the target's training images as rows of numbers."""

    pool: Features
    """(n, d), in the order of the images' names."""
    target: Features
    """(m, d)."""
    order: NDArray[np.int64]
    """(n,) the instance of each row of the pool."""

    def of_length_1(self) -> Vectors:
        """The same directions, whose inner products are cosines."""
        return Vectors(of_length_1(self.pool), of_length_1(self.target), self.order)


def require_features(config: FeatureOptions, selector: str) -> str:
    """What the options say that images are compared by; `InputError` if they do not."""
    if config.features is None:
        raise InputError(
            f"selector.features: none cannot work with selector {selector!r}; allowed: pixels, an encoder.safetensors, "
            "run:DIR or timm:NAME.TAG"
        )
    return config.features


def vectors_of(problem: Problem, features: str, toolkit: Toolkit) -> Vectors:
    """The pool and the target by those features; see `pool_vectors`. `InputError` for pixels of different shapes."""
    source, target = problem.source, problem.target_images
    if features == PIXELS and source.images.shape[1:] != target.shape[1:]:
        ours, theirs = (" x ".join(map(str, images.shape[1:])) for images in (source.images, target))
        raise InputError(
            f"selector.features: 'pixels' compares pixels, but the source's images are {ours} and the target's "
            f"{theirs} (channels x height x width); allowed: one shape, or an encoder"
        )
    pool, order = pool_vectors(problem, features, toolkit)
    toolkit.meter.count(len(target))
    of_target = _as_numbers(target) if features == PIXELS else toolkit.embedder(features)(target, toolkit.device)
    return Vectors(pool, of_target, order)


def pool_vectors(problem: Problem, features: str, toolkit: Toolkit) -> tuple[Features, NDArray[np.int64]]:
    """The pool (n, d) by those features in the order of its names, and the instance (n,) of each row.

    Pixels are 0 to 1 over all channels. What an encoder makes of the pool is computed once and kept in the cache
    folder. `InputError` for an encoder that there is not.
    """
    order = by_name(problem.source)
    if features == PIXELS:
        toolkit.meter.count(len(order))
        return _as_numbers(problem.source.images[order]), order
    return _of_pool(problem, toolkit.embedder(features), toolkit)[order], order


def of_length_1(rows: Features) -> Features:
    """The rows (n, d) divided by their lengths; a row of zeros stays."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, np.finfo(np.float32).tiny), dtype=np.float32)


def _as_numbers(images: NDArray[np.uint8]) -> Features:
    return np.asarray(images, dtype=np.float32).reshape(len(images), -1) / WHITE


def _of_pool(problem: Problem, embedder: Embedder, toolkit: Toolkit) -> Features:
    """Features (n, d) of the pool in its own order, from the cache or for it."""
    source = problem.source
    path = toolkit.cache_dir / f"features-{source.content_key}-{embedder.key}.safetensors"
    kept = _kept(path, len(source))
    if kept is not None:
        features, seconds = kept
        toolkit.meter.reuse(seconds, len(source))
        return features
    with toolkit.meter.shared(len(source)) as watch:
        features = _embedded(source.images, embedder, toolkit.device, toolkit.told("embedding the pool, images"))
        seconds = watch.seconds
    write_tensors(path, {"features": torch.from_numpy(features)}, {"seconds": repr(seconds)})
    return features


def _kept(path: Path, count: int) -> tuple[Features, float] | None:
    """Features and the seconds that they took; None if there are none that can be used."""
    with contextlib.suppress(InputError, KeyError, ValueError):
        tensors, metadata = tensors_in(contents_of(path, "cached features"), f"cached features {path}")
        features, seconds = tensors["features"].numpy(), float(metadata["seconds"])
        if features.ndim == 2 and len(features) == count and features.dtype == np.float32:
            return features, seconds
    return None


def _embedded(
    images: NDArray[np.uint8],
    embedder: Embedder,
    device: torch.device,
    progress: Callable[[int, int], None] | None,
) -> Features:
    parts = []
    for start in range(0, len(images), BLOCK):
        parts.append(embedder(np.array(images[start : start + BLOCK]), device))  # torch wants no read-only map
        if progress is not None:
            progress(min(start + BLOCK, len(images)), len(images))
    return np.concatenate(parts)
