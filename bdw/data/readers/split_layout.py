"""Where the classes of a labelled folder lie: at its top, or below folders for training, validation and test.

A split's folder holds folders of images, a class's folder holds images. Folders are known as splits by the usual
spellings of train, validation and test, whatever their case and whatever is added (`seg_train`, `TestSet`,
`training_images`, `val2017`). A folder that could be both, or several folders that look like splits under other
names (`fold1`, `2019`), end in an error that names them.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bdw.data.instances import Skipped
from bdw.data.readers.base import Request, SplitName
from bdw.data.readers.image_files import Found, Parts
from bdw.errors import InputError

_SPELLINGS: dict[str, SplitName] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval", "evaluation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_ADDITIONS = "set|sets|seg|data|dataset|split|folder|images|image|imgs|img"
_TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_ALLOWED = "one folder of images per class, or such folders below train, validation and test"


def split_of(name: str) -> SplitName | None:
    """The split that a folder's name spells, None if it spells none."""
    tokens = [re.sub(rf"(?<=.)(?:{_ADDITIONS})$", "", token.lower()) for token in _TOKEN.findall(name)]
    rest = [token for token in tokens if token not in _ADDITIONS.split("|")]
    return _SPELLINGS.get(rest[0]) if len(rest) == 1 else None


@dataclass(frozen=True)
class Layout:
    """The folders that hold the classes, by split, and what lies beside them."""

    roots: dict[SplitName, Parts]
    """Relative to the folder; (), the folder itself, for `train` where there are no splits."""
    unused: list[Skipped]


def find_layout(root: str, found: Found, request: Request) -> Layout:
    """How the classes are laid out below the folder called `root`; InputError where that cannot be told."""
    where = f"{request.option}: folder {root!r}"
    tops = [parts[0] for parts in sorted(found.folders) if len(parts) == 1]
    direct = Counter(parts[0] for parts in found.files if len(parts) == 2)
    nested: dict[str, Counter[str]] = defaultdict(Counter)
    for parts in found.files:
        if len(parts) > 2:
            nested[parts[0]][parts[1]] += 1
    spelt = {name: split for name in tops if (split := split_of(name)) is not None}
    holding = [name for name in spelt if nested[name].total() > direct[name]]
    others = [name for name in tops if name not in spelt and (direct[name] or nested[name])]
    if not holding:
        if spelt and not others:
            raise InputError(f"{where} has {_listed(spelt)} without folders for classes; allowed: {_ALLOWED}")
        _refuse_unnamed_splits(where, others, direct, nested)
        return Layout({"train": ()}, _beside(found.files, [()]))
    if others and (len(holding) == 1 or "train" not in {spelt[name] for name in holding}):
        raise InputError(
            f"{where} has {_listed(holding)} with folders inside ({_listed(nested[holding[0]])}) beside "
            f"{_listed(others)}, so that it is not clear whether these are splits or classes; allowed: {_ALLOWED}"
        )
    for name in spelt:
        same = [other for other in spelt if spelt[other] == spelt[name]]
        if len(same) > 1:
            raise InputError(f"{where} has {_listed(same)}, which all mean {spelt[name]}; allowed: one folder for each")
        if name not in holding:
            raise InputError(f"{where}: {name} holds no folders of images; allowed: {_ALLOWED}")
    if "train" not in spelt.values():
        raise InputError(f"{where} has {_listed(spelt)} but no folder for training images; allowed: {_ALLOWED}")
    roots = {spelt[name]: _inmost((name,), found.folders) for name in spelt}
    return Layout(roots, _beside(found.files, list(roots.values())))


def _refuse_unnamed_splits(
    where: str, tops: Sequence[str], direct: Counter[str], nested: dict[str, Counter[str]]
) -> None:
    """InputError if most images lie two levels down, below folders of which most occur again and again."""
    if sum(direct[name] for name in tops) >= sum(nested[name].total() for name in tops):
        return
    times = Counter(inner for name in tops for inner in nested[name])
    repeated = [inner for inner, count in times.items() if count > 1]
    if len(repeated) >= 2 and 2 * len(repeated) > len(times):
        raise InputError(
            f"{where} has the same folders ({_listed(repeated)}) below each of {_listed(tops)}, so that it is not "
            f"clear which are classes and which are splits; allowed: {_ALLOWED}"
        )


def _inmost(folder: Parts, folders: set[Parts]) -> Parts:
    """The folder, or the only one inside it that spells the same split, as archives have it (`train/train/cat`)."""
    inner = [parts for parts in folders if parts[:-1] == folder]
    if len(inner) == 1 and split_of(inner[0][-1]) == split_of(folder[-1]):
        return _inmost(inner[0], folders)
    return folder


def _beside(files: Iterable[Parts], roots: Sequence[Parts]) -> list[Skipped]:
    """Images that lie in no class folder, counted by the folder that they lie in."""
    lost: dict[str, list[Parts]] = defaultdict(list)
    for parts in files:
        if not any(parts[: len(root)] == root and len(parts) > len(root) + 1 for root in roots):
            lost[parts[0] if len(parts) > 1 else ""].append(parts)
    return [Skipped("/".join(inside[0]), "lies beside the folders of classes", len(inside)) for inside in lost.values()]


def _listed(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
