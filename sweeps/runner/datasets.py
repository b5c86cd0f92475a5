"""What --data offers: a source, the settings that suit it, and the target domains that go with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bdw.config import RunConfig, presets
from bdw.data.readers.glyphs import FOR_CHOOSING, REPORTED
from bdw.data.readers.renditions import RENDITIONS
from bdw.errors import InputError, unknown_option
from bdw.storage.remote_folder import absolute
from sweeps.runner.space import PAPER, RECOMMENDED


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Default size of a sweep."""

    samples: int = 0
    """Trials of the search, if there is one."""
    epochs: int | None = None
    """None for the preset's."""
    max_source: int | None = None
    """None for all."""


@dataclass(frozen=True, kw_only=True)
class DataChoice:
    """A source with the settings that suit it: one value of --data, or an entry's only one."""

    name: str
    preset: str
    """Name of the published settings that the sweep starts from."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Fields of a `RunConfig` in which all runs differ from the preset."""
    targets: tuple[str, ...]
    """Default target domains."""
    search_target: str | None = None
    """Target of the search, none of the reported ones, so that no reported target had a part in the choice; default:
    the first target."""
    recipes: tuple[str, ...] = (PAPER,)
    """Recipes whose settings are searched. With the recommended recipe among them the base has the paper's weighting,
    and runs of all methods have the same budget of images."""
    controls: tuple[str, ...] = ()
    """Further weighters in the comparison: `nearest-neighbour`, `oracle` where the useful images are known, `random`
    for a random subset of the size that the recommended recipe keeps."""
    domain_fields: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Target -> fields of a `RunConfig` in which it differs from the others, such as the design of its episodes."""
    data_root_holds: str | None = None
    """What must lie under --data-root; None if no data root is needed."""
    seeds: tuple[int, ...] = (0,)
    """Default seeds of the comparison."""
    scale: Scale
    smoke: Scale
    remark: str = ""
    """What a reader must know before drawing conclusions from a comparison over these domains."""


_ALL = (
    DataChoice(
        name="glyphs",
        preset="glyphs",
        targets=tuple(f"glyphs-{script}" for script in REPORTED),
        search_target=f"glyphs-{FOR_CHOOSING[1]}",
        recipes=(PAPER, RECOMMENDED),
        controls=("random", "nearest-neighbour", "oracle"),
        seeds=(0, 1),
        scale=Scale(samples=17),
        smoke=Scale(samples=10, epochs=2, max_source=600),
        remark="The pool is rendered: nine tenths of it are rubbish, and the letters of all scripts help each other.",
    ),
    DataChoice(
        name="digits",
        preset="digits",
        targets=tuple(RENDITIONS),
        recipes=(PAPER, RECOMMENDED),
        controls=("random", "nearest-neighbour", "oracle"),
        scale=Scale(samples=24),
        smoke=Scale(samples=10, epochs=2, max_source=256),
        remark="The domains are renditions of the same held-out digits: an illustration, not independent evidence.",
    ),
    DataChoice(
        name="stl10",
        preset="stl10",
        targets=("stl10",),
        data_root_holds="STL-10 as torchvision lays it out",
        scale=Scale(samples=24),
        smoke=Scale(samples=2, epochs=1, max_source=32),
    ),
    DataChoice(
        name="tiny-imagenet",
        preset="tiny_imagenet",
        targets=("cifar10",),
        recipes=(PAPER, RECOMMENDED),
        controls=("random",),
        data_root_holds="imagenet-mini-train.npz and the target's NAME-train.npz and NAME-test.npz",
        scale=Scale(samples=16),
        smoke=Scale(samples=10, epochs=1, max_source=128),
    ),
)
CHOICES = {choice.name: choice for choice in _ALL}


def choose(data: str) -> DataChoice:
    """The choice of that name. Raises `InputError` for an unknown one."""
    if data not in CHOICES:
        raise unknown_option("data", data, CHOICES)
    return CHOICES[data]


def require_data_root(choice: DataChoice, data_root: str | None) -> None:
    """Raise `InputError` if the choice needs a data root and none was given."""
    if choice.data_root_holds is not None and data_root is None:
        raise InputError(f"data_root: none was given; allowed: a folder that holds {choice.data_root_holds}")


def base_config(
    choice: DataChoice, *, data_root: str | None, download: bool, target: str, epochs: int | None
) -> RunConfig:
    """The settings that all trials share, for that target.

    Another number of epochs moves the learning rate's milestones in proportion.

    Raises:
        InputError: A data root is needed and was not given.
    """
    config = presets.build(choice.preset).replace(**choice.fields)
    if RECOMMENDED in choice.recipes:
        config = config.replace(**presets.paper_weighting(), budget_unit="images")
    require_data_root(choice, data_root)
    if epochs is not None:
        factor = epochs / config.budget.epochs
        milestones = sorted({max(1, round(milestone * factor)) for milestone in config.schedule.lr_milestones})
        config = config.replace(epochs=epochs, lr_milestones=milestones)
    # Trials run elsewhere: on another machine or at least in another folder.
    root = None if data_root is None else absolute(data_root)
    return config.replace(target=target, data_root=root, download=download)
