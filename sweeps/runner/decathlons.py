"""The two decathlons that Table 2's entry offers: the challenge itself, and a small one of ten .npz sets."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bdw.config import presets
from bdw.data.readers import visual_decathlon
from bdw.errors import InputError
from bdw.storage.remote_folder import RemoteFolder, is_address
from sweeps.runner.datasets import DataChoice, Scale
from sweeps.runner.episode_designs import Design

CHALLENGE = DataChoice(
    name="visual_decathlon",
    preset="visual_decathlon",
    targets=(
        "decathlon-aircraft",
        "decathlon-cifar100",
        "decathlon-daimlerpedcls",
        "decathlon-dtd",
        "decathlon-gtsrb",
        "decathlon-omniglot",
        "decathlon-svhn",
        "decathlon-ucf101",
        "decathlon-vgg-flowers",
        "stl10",
    ),
    # The paper's designs: 200 images an episode, with as many queries as shots.
    domain_fields={
        "decathlon-daimlerpedcls": Design(2, 50, 50).fields,
        "decathlon-omniglot": Design(50, 2, 2).fields,
        "decathlon-svhn": Design(10, 10, 10).fields,
        "stl10": Design(10, 10, 10).fields,
        # Its train has 10 images a class, of which 2 are for validation.
        "decathlon-vgg-flowers": Design(20, 5, 3).fields,
    },
    data_root_holds="decathlon-1.0 and, for the target stl10, STL-10; or --data with the mini-decathlon's .npz files",
    scale=Scale(),
    smoke=Scale(epochs=1, max_source=64),
)


def _labelled(images: int, of: int) -> dict[str, Any]:
    """Number of training images that are used of a set that is far larger than the others."""
    return {"target_fraction": images / of}


MINI = DataChoice(
    name="mini",
    preset="mini_decathlon",
    targets=(
        "mnist",
        "fashion-mnist",
        "kmnist",
        "cifar10",
        "cifar100",
        "gtsrb",
        "dtd",
        "vgg-flowers",
        "omniglot",
        "pedestrians",
    ),
    # Half of the paper's episodes.
    domain_fields={
        "mnist": _labelled(5_000, of=60_000),
        "fashion-mnist": _labelled(5_000, of=60_000),
        "omniglot": Design(25, 2, 2).fields,
        "pedestrians": Design(2, 25, 25).fields,
    },
    data_root_holds="the mini-decathlon's .npz files",
    scale=Scale(max_source=6_000),
    smoke=Scale(epochs=1, max_source=64),
    remark=(
        "The mini-decathlon: subsets of the published sets, some with splits of their own, and one small source for "
        "all ten; its numbers cannot be held against the paper's."
    ),
)


def choose(data: str | None, data_root: str | None) -> tuple[DataChoice, str]:
    """The mini-decathlon if `data` names its folder, otherwise the challenge under the data root; and the folder.

    Raises `InputError` if both are given, or neither.
    """
    if data is not None:
        if data_root is not None:
            raise InputError(
                "data: given together with data_root; allowed: one of them, for the decathlon that is meant"
            )
        return MINI, data
    if data_root is None:
        raise InputError(f"data_root: none was given; allowed: a folder that holds {CHALLENGE.data_root_holds}")
    return CHALLENGE, data_root


def at_equal_budget(choice: DataChoice, remark: str) -> DataChoice:
    """The choice with the length of the recommended recipe, a budget of images with a cosine over it, under a name of
    its own, since results of runs of another length do not belong with its results; two epochs to see that it works."""
    length = {name: presets.RECOMMENDED[name] for name in presets.LENGTH}
    return dataclasses.replace(
        choice,
        name="one-run" if choice is CHALLENGE else f"{choice.name}-one-run",
        fields={**choice.fields, **length},
        smoke=dataclasses.replace(choice.smoke, epochs=2),
        remark=" ".join(filter(None, [choice.remark, remark])),
    )


def require_data(choice: DataChoice, data_root: str, targets: Sequence[str]) -> None:
    """Raise one `InputError` that lists everything that is missing of the source and the targets (default: all ten)."""
    source = presets.build(choice.preset).data.source
    if choice is CHALLENGE:
        if not is_address(data_root):  # What lies at an address is looked at when it is fetched.
            root = Path(data_root).expanduser()
            visual_decathlon.require_whole(root, source=source, targets=targets or choice.targets)
        return
    names = [name for name in targets or choice.targets if name in choice.targets]
    files = [f"{source}-train.npz", *(f"{name}-{split}.npz" for name in names for split in ("train", "test"))]
    here = _names_in(data_root)
    missing = [file for file in files if file not in here]
    if missing:
        raise InputError(f"data: {data_root!r} is not complete; missing: {', '.join(missing)}")


def _names_in(folder: str) -> set[str]:
    try:
        return {file.name for file in RemoteFolder.at(folder, field="data").names_beginning("")}
    except OSError as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"data: {folder!r} cannot be read ({reason}); allowed: a folder or an address") from error
