"""The largest meta-batch, up to the configured one, that the target's training images allow."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from bdw.config import MetaConfig
from bdw.weighting import meta_loss


def fitted(config: MetaConfig, labels: Tensor) -> MetaConfig:
    """The design with the sizes of `may_shrink` made as small as the target's training images ask for.

    `labels` int64 (m,) are those of the training images. Only what the configured meta-losses use shrinks, and only
    where it does not fit. Shots and queries keep their proportion where both may shrink, as far as whole images go. A
    design that cannot be made to fit comes back too large, for `meta_loss.check` to refuse.
    """
    names = meta_loss.names(config.meta_loss)
    sizes: dict[str, Any] = {}
    if "prototype" in names:
        counts = torch.bincount(labels)
        counts = counts[counts > 0]
        sizes["ways"] = min(config.ways, len(counts))
        sizes["shots"], sizes["queries"] = _shots_and_queries(config, int(counts.min()))
    if "pretext" in names:
        sizes["target_batch"] = min(config.target_batch, len(labels))
    return dataclasses.replace(config, **{name: size for name, size in sizes.items() if name in config.may_shrink})


def _shots_and_queries(config: MetaConfig, images: int) -> tuple[int, int]:
    """N and Q for a smallest class of so many images; those that may not shrink, or cannot, as they are."""
    shots, queries = config.shots, config.queries
    if shots + queries <= images or images < 2:
        return shots, queries
    if {"shots", "queries"} <= {*config.may_shrink}:
        shots = max(1, images * shots // (shots + queries))
        return shots, images - shots
    # One of them is not used by the caller.
    return max(1, images - queries), max(1, images - shots)
