"""Where the images come from and how they are cut."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from bdw.config.checks import require, require_at_least
from bdw.config.fields import Basic, Free


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the images come from and how they are cut."""

    source: Basic[str] = "digits"
    """Unlabelled pool: a reader's name (`digits`, `stl10`, `cifar10`, ...), an image folder, a packed data set or an
    .npz file; `reader:path` where the path alone does not tell. A path may be an address (s3://bucket/photos)."""
    target: Basic[str] = "digits"
    """Labelled target, named like the source; in an image folder every sub-folder is a class."""
    targets: tuple[str, ...] = ()
    """Several targets in the place of one, named like it. One encoder is trained for all of them; each has a usefulness
    of every source image (`combine_targets` says what is trained on), scores and a best epoch of its own. `target` is
    then the first of them. One name is the same as `target`."""
    value_for: tuple[str, ...] = ()
    """Further targets, named like the target. A run with fixed weights, such as plain training, learns on the way how
    useful every source image is for each of them, and trains as it would without: usefulness_TARGET.parquet."""
    data_root: Free[str | None] = None
    """Folder or address (s3://bucket/data, gs://bucket/data) under which data sets lie by name; with --download a
    folder, and torchvision's are put there."""
    download: Free[bool] = False
    """Let torchvision download a data set that is not under data_root."""
    cache_dir: Free[str | None] = None
    """Where packed data sets are kept, and what is fetched from addresses; default: `packed` below data_root, or the
    run directory, or ~/.cache/bdw/data for what comes from an address."""
    cache_address: Free[str | None] = None
    """Where packed data sets are kept for all machines: an address (s3://bucket/packed), or a folder that they share.
    Whoever comes first packs and puts them there, everybody else fetches them into cache_dir. They are taken as they
    are: name another address after the original images have changed."""
    image_size: int = 16
    """Side in pixels to which images are resized (and centre cropped) when they are packed."""
    crop_size: int = 16
    """Side in pixels of the random crop that the encoder sees; evaluation takes the centre crop."""
    crop_padding: int = 2
    """Zero padding in pixels on every side before the random crop."""
    flip: bool = False
    """Random horizontal flips of source and target images while training."""
    max_source: int | None = None
    """Use only that many source images, drawn by data_seed; default: all."""
    max_train_per_class: int | None = None
    """Use only that many labelled target images per class for training; default: all."""
    target_fraction: float = 1.0
    """Share of every class of the target's training images that the target has; below 1 exactly those images leave the
    source if it holds them (by name), so that none is on both sides."""
    target_in_pool: bool = False
    """Train the encoder on the target's training images, too: they join the pool behind its own images, without their
    labels. Validation and test images never do."""
    without_leaks: bool = False
    """Leave images out of the pool that are, or nearly are, the target's validation or test images, whatever their
    names: re-encoded, shifted by a pixel, brighter, mirrored. `python -m bdw leaks` lists them."""
    validation_fraction: float = 0.2
    """Share of the target's training images of each class held out for model selection."""
    data_seed: int = 0
    """Seed of every split and subset, apart from the run's seed so that repeats share their data."""

    def with_fields(self, given: Mapping[str, Any]) -> Self:
        """A copy with these fields changed; `target` alone takes the place of several targets.

        Raises `InputError` for a `target` beside `targets` that is not the first of them.
        """
        target, targets = given.get("target", self.target), given.get("targets", ())
        if "target" in given and targets:
            require(
                target == targets[0], "target", target, f"none beside targets {list(targets)}, or the first of them"
            )
        one: dict[str, Any] = {"targets": ()} if "target" in given else {}
        return dataclasses.replace(self, **{**one, **given})

    @property
    def target_names(self) -> tuple[str, ...]:
        """All targets, the first of `targets` first; one in the common case."""
        return self.targets or (self.target,)

    def __post_init__(self) -> None:
        require(self.image_size >= 4, "image_size", self.image_size, "at least 4 pixels")
        require(
            4 <= self.crop_size <= self.image_size + 2 * self.crop_padding,
            "crop_size",
            self.crop_size,
            f"4 to image_size + 2 * crop_padding = {self.image_size + 2 * self.crop_padding} pixels",
        )
        require(self.crop_padding >= 0, "crop_padding", self.crop_padding, "0 or more pixels")
        require(0 < self.target_fraction <= 1, "target_fraction", self.target_fraction, "above 0, at most 1")
        require(0 < self.validation_fraction < 1, "validation_fraction", self.validation_fraction, "between 0 and 1")
        for name in ("targets", "value_for"):
            given = getattr(self, name)
            require(len(set(given)) == len(given) and all(given), name, list(given), "every target once")
        if self.targets:
            object.__setattr__(self, "target", self.targets[0])
        if len(self.targets) == 1:
            object.__setattr__(self, "targets", ())
        require(not (self.targets and self.target_in_pool), "target_in_pool", True, "false with several targets")
        require(self.data_seed >= 0, "data_seed", self.data_seed, "0 or more")
        for name in ("max_source", "max_train_per_class"):
            require_at_least(name, getattr(self, name), 1, "at least 1, or none for all")
