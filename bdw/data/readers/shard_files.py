"""Which shards of a data set belong to which split: one file, or all files of an ending below a folder.

A split is told by a file's name up to its number (`train-00000-of-00004.parquet`, `test-000001.tar`,
`validation.parquet`), otherwise by the folder that it lies in.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bdw.data.readers.base import Request, SplitName
from bdw.data.readers.split_layout import split_of
from bdw.errors import InputError

UNLABELLED = "unlabelled"
_UNLABELLED = frozenset({"unlabelled", "unlabeled", "unsupervised"})
_NUMBER = re.compile(r"[-_.]?\d+([-_]of[-_]\d+)?$")

Shards = Mapping[str, Sequence[Path]]
"""Split -> its files in the order of their names; `train` alone where names tell none."""


def find_shards(request: Request, ending: str, what: str) -> Shards:
    """The files with that ending at the request's path. `InputError` if there is none, or some of them alone are
    splits."""
    path = request.required_path(what)
    if path.is_file():
        return {"train": [path]}
    files = sorted(
        file
        for file in path.rglob(f"*{ending}")
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )
    if not files:
        raise InputError(f"{request.option}: folder {str(path)!r} holds no {ending} files; allowed: {what}")
    found: dict[str, list[Path]] = {}
    unnamed = []
    for file in files:
        split = _split(file, path)
        if split is None:
            unnamed.append(file)
        else:
            found.setdefault(split, []).append(file)
    if not found:
        return {"train": unnamed}
    if unnamed:
        raise InputError(
            f"{request.option}: {str(unnamed[0].relative_to(path))!r} lies beside shards of "
            f"{', '.join(sorted(found))}, and its name tells no split; allowed: names that begin with train, "
            "validation, test or unlabelled"
        )
    return found


def of_source(shards: Shards) -> Sequence[Path]:
    """The shards of a pool: those called unlabelled where there are any, otherwise those for training."""
    return shards.get(UNLABELLED) or shards.get("train") or next(iter(shards.values()))


def of_target(shards: Shards, request: Request) -> dict[SplitName, Sequence[Path]]:
    """The shards of the labelled splits; `InputError` if there are none for training."""
    if "train" not in shards:
        raise InputError(f"{request.option}: {str(request.path)!r} has {', '.join(shards)} but no shards for training")
    names: tuple[SplitName, ...] = ("train", "validation", "test")
    return {name: shards[name] for name in names if name in shards}


def fingerprint(files: Sequence[Path]) -> dict[str, str]:
    """What tells these files from any others: their folder, and a digest of names, sizes and times of change."""
    digest = hashlib.sha256()
    for file in files:
        status = file.stat()
        digest.update(f"{file.name!r} {status.st_size} {status.st_mtime_ns}\n".encode())
    return {"path": str(files[0].parent.resolve()), "files": digest.hexdigest()}


def _split(file: Path, root: Path) -> str | None:
    stem = file.name[: -len(file.suffix)]
    own = _NUMBER.sub("", stem)
    for name in (own, *(parent for parent in reversed(file.relative_to(root).parts[:-1]))):
        if name.lower() in _UNLABELLED:
            return UNLABELLED
        if (split := split_of(name)) is not None:
            return split
    return None
