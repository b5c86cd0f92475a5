"""The options of the built-in selectors, a dataclass each: no selector needs to be imported to read a config."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bdw.config.checks import is_finite_positive, require, require_at_least
from bdw.config.encoder import TIMM
from bdw.config.named_file import RUN

PIXELS = "pixels"
"""What `features` may say beside an encoder."""


def _absolute(path: str | None) -> str | None:
    """Workers have other working directories than whoever started them."""
    return None if path is None else str(Path(path).expanduser().absolute())


@dataclass(frozen=True, kw_only=True)
class NoSelectorOptions:
    """A selector without options: `random`, and no selector at all."""


@dataclass(frozen=True, kw_only=True)
class FeatureOptions:
    """Of every selector that compares images."""

    features: str | None = None
    """What images are compared by, which has no default: `pixels`, an encoder.safetensors, `run:DIR` for the encoder of
    a run, or `timm:NAME.TAG` for timm's own weights, which are downloaded once."""

    def __post_init__(self) -> None:
        require(self.features != "", "selector.features", self.features, "pixels, a file, run:DIR or timm:NAME.TAG")
        if self.features is not None and self.features != PIXELS and not self.features.startswith(TIMM):
            prefix = RUN if self.features.startswith(RUN) else ""
            object.__setattr__(self, "features", f"{prefix}{_absolute(self.features.removeprefix(prefix))}")


@dataclass(frozen=True, kw_only=True)
class GivenOptions:
    """Of `given`."""

    weights_file: str | None = None
    """A Parquet or CSV file with columns index or name, and weight or mean, for every image: the highest are chosen, or
    without a size all above 0 that a column kept does not call false."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights_file", _absolute(self.weights_file))


@dataclass(frozen=True, kw_only=True)
class SimCoreOptions(FeatureOptions):
    """Of `simcore`; the defaults are the paper's (Kim, Bae and Yun 2023)."""

    clusters: int | None = None
    """Of the target's images; default: 100, or the number of these images where it is smaller."""
    stop_below: float = 0.95
    """Without a size, stop before a round that is less similar to the target than this share of the first round."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least("selector.clusters", self.clusters, 1, "at least 1, or none")
        require(0 < self.stop_below <= 1, "selector.stop_below", self.stop_below, "above 0, at most 1")


@dataclass(frozen=True, kw_only=True)
class PrototypeOptions(FeatureOptions):
    """Of `prototypes`."""

    clusters: int = 100
    """Of the pool, by k-means."""
    keep: Literal["easy", "hard"] = "hard"
    """`easy` images are near the centre of their cluster, `hard` ones far away. The paper (Sorscher et al. 2022) keeps
    hard ones of large pools and easy ones of small pools."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.clusters >= 1, "selector.clusters", self.clusters, "at least 1")


@dataclass(frozen=True, kw_only=True)
class HierarchicalOptions(FeatureOptions):
    """Of `hierarchical`."""

    levels: tuple[int, ...] = (100, 10)
    """Clusters of the images, then clusters of these clusters' centres, and so on."""
    resampling: int = 10
    """Rounds in which k-means is repeated on the images next to each centre (Vo et al. 2024, section 3.3)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        falls = all(a > b for a, b in zip(self.levels, self.levels[1:], strict=False))
        require(
            bool(self.levels) and falls and self.levels[-1] >= 1,
            "selector.levels",
            self.levels,
            "falling numbers of clusters, at least 1",
        )
        require(self.resampling >= 0, "selector.resampling", self.resampling, "0 or more")


@dataclass(frozen=True, kw_only=True)
class NeuralDataServerOptions(FeatureOptions):
    """Of `neural-data-server`."""

    partition: Literal["clusters", "labels"] = "clusters"
    """Which images an expert is trained on: a cluster of the pool by k-means on `features`, or a label of the pool."""
    experts: int = 10
    """Clusters; of `labels` there is one expert each."""
    expert: str = "small_cnn"
    """Encoder architecture of every expert, as for `--encoder`; it learns to recognise rotations."""
    expert_images: int = 20_000
    """Images through the training of each expert, the same for all."""
    expert_batch: int = 64
    """Images in a step of an expert's training."""
    expert_learning_rate: float = 0.05
    """Of SGD with momentum 0.9, along half a cosine."""
    temperature: float = 0.1
    """Of the softmax over the experts' accuracies; the paper's."""
    adaptation: Literal["none", "linear"] = "none"
    """How experts are asked: `none`, how well they recognise rotations of the target's images; `linear`, how well a
    linear layer on their features tells the target's labels, by cross-validation."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.experts >= 2, "selector.experts", self.experts, "at least 2")
        require(self.expert_batch >= 2, "selector.expert_batch", self.expert_batch, "at least 2")
        require(
            self.expert_images >= self.expert_batch,
            "selector.expert_images",
            self.expert_images,
            f"at least one batch, expert_batch = {self.expert_batch} images",
        )
        for name in ("expert_learning_rate", "temperature"):
            require(
                is_finite_positive(getattr(self, name)), f"selector.{name}", getattr(self, name), "a positive number"
            )
