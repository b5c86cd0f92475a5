"""What a reader is asked and what it answers. A new data set is one file with a reader and one registry line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from bdw.data.instances import Part
from bdw.errors import InputError

SplitName = Literal["train", "validation", "test"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of a reader, after the specification (`reader`, `reader:path` or a path) was taken apart."""

    option: str
    """Name of the option that the user gave (`source`, `target`), for messages."""
    spec: str
    """What the user wrote."""
    name: str
    """The reader's or data set's name."""
    path: Path | None = None
    """Path given with the specification."""
    address: str | None = None
    """Address given with the specification, for the reader that reads images where they are."""
    root: Path | None = None
    """Folder of downloaded data sets, or what was fetched of it from an address."""
    data_root: str | None = None
    """The same as the user gave it."""
    cache_dir: Path | None = None
    """Where data from an address are kept on this machine; None for the default."""
    download: bool = False
    image_size: int
    """Side of the squares in pixels."""
    channels: int | None = None
    """1 or 3 where the other side has settled it, None for the reader's own choice."""
    seed: int = 0
    """Seed of a reader that makes its own data or splits."""

    def required_path(self, what: str) -> Path:
        """The path, which must exist; InputError says that `what` is needed otherwise."""
        if self.path is None:
            raise InputError(f"{self.option}: {self.spec!r} needs a path; allowed: {self.name}:PATH with {what}")
        if not self.path.exists():
            raise InputError(f"{self.option}: {str(self.path)!r} does not exist; allowed: {what}")
        return self.path


class Reader(Protocol):
    """A kind of data set. Both methods only look at names and labels; images are decoded when they are packed."""

    @property
    def name(self) -> str:
        """The name that specifications use."""
        ...

    def source(self, request: Request) -> Part:
        """The unlabelled pool. Labels, where there are any, are kept in the store for reports."""
        ...

    def target(self, request: Request) -> Mapping[SplitName, Part]:
        """The labelled parts; `train` always, the others where the data set has them (the rest is split off)."""
        ...


def distinct(names: Sequence[object]) -> tuple[str, ...]:
    """Class names by label, as text; those that several labels share get their label behind them."""
    texts = [name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else str(name) for name in names]
    times = Counter(texts)
    return tuple(text if times[text] == 1 else f"{text} ({label})" for label, text in enumerate(texts))


def missing_data(request: Request, how: str, root: Path | None) -> InputError:
    """The error for a named data set that is not there; `how` names its origin and size."""
    where = "no --data-root is set" if root is None else f"not found in {str(root)!r}"
    folder = "DIR" if root is None else str(root)
    return InputError(
        f"{request.option}: {request.name!r}: {where}; get it with --download --data-root {folder} ({how}), "
        "or set --data-root to the folder that holds it"
    )
