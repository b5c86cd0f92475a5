"""Resumable state on disk, written whole or not at all, read without unpickling.

torch is imported where a state is written or read, so that what only looks for checkpoints does without.
`checkpoints/epoch_0003/state.pt` is the state after epoch 3, `checkpoints/epoch_0003_step_00000120/state.pt` that after
120 more steps.
"""

from __future__ import annotations

import errno
import logging
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, Self

from bdw.errors import InputError
from bdw.storage.atomic_write import replacing

VERSION = 7
logger = logging.getLogger(__name__)


class Position(NamedTuple):
    """How far a run is; a later position compares as larger."""

    epochs: int
    """Whole epochs behind the run."""
    steps: int = 0
    """Steps made in the epoch that follows them."""

    @property
    def name(self) -> str:
        """The checkpoint's folder."""
        return f"epoch_{self.epochs:04d}" + (f"_step_{self.steps:08d}" if self.steps else "")

    @classmethod
    def of(cls, name: str) -> Self | None:
        """The position that this folder is named after; None for any other name."""
        match = re.fullmatch(r"epoch_(\d+)(?:_step_(\d+))?", name)
        return cls(int(match[1]), int(match[2] or 0)) if match else None

    def __str__(self) -> str:
        """The position in words, such as `epoch 3 and 120 steps`."""
        return f"epoch {self.epochs}" + (f" and {self.steps} steps" if self.steps else "")


def save(folder: Path, position: Position, state: dict[str, Any]) -> Path:
    """Write the state at that position (tensors, numbers, strings and containers of them)."""
    import torch

    path = folder / position.name
    try:
        with replacing(path) as temporary:
            temporary.mkdir(parents=True)
            torch.save({"version": VERSION, **state}, temporary / "state.pt")
    except RuntimeError as error:  # torch hides a full disk in one
        reason = f"the checkpoint could not be written ({str(error).splitlines()[0]})"
        raise OSError(errno.EIO, reason, str(path)) from error
    return path


def superseded(positions: Iterable[Position], *, keep: int, best_epoch: int | None) -> list[Position]:
    """Which checkpoints may go: all but the last `keep` and the best epoch's."""
    return [position for position in sorted(positions)[:-keep] if position != (best_epoch, 0)]


def delete_superseded(folder: Path, *, keep: int, best_epoch: int | None) -> None:
    """Delete superseded checkpoints and what a killed process left half-written. A failure to delete is logged."""
    old = superseded(positions(folder), keep=keep, best_epoch=best_epoch)
    for path in [*(folder / position.name for position in old), *folder.glob(".epoch_*.tmp")]:
        try:
            shutil.rmtree(path)
        except OSError as error:
            logger.warning("could not delete the old checkpoint %s: %s", path, error)


def delete_all(folder: Path) -> None:
    """Delete the folder of all checkpoints, also where there is none. `OSError` if the disk refuses.

    It is renamed first: a process that dies in between leaves no checkpoint of which a part is missing.
    """
    aside = folder.with_name(f".{folder.name}.deleted.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        folder.rename(aside)
    except FileNotFoundError:
        return
    shutil.rmtree(aside)


def set_aside(path: Path) -> None:
    """Rename a damaged checkpoint, so that nobody takes it for a checkpoint; the files stay for whoever wants to
    look."""
    aside = path.with_name(f"damaged_{path.name}")
    shutil.rmtree(aside, ignore_errors=True)
    path.rename(aside)


def positions(folder: Path) -> list[Position]:
    """Positions of the checkpoints in that folder. A checkpoint that is being written has a name that begins with a dot
    and does not count."""
    found = (Position.of(path.name) for path in folder.glob("epoch_*"))
    return sorted(position for position in found if position is not None)


def last(folder: Path) -> Path | None:
    """The newest checkpoint in that folder, or none."""
    found = positions(folder)
    return folder / found[-1].name if found else None


class DamagedError(InputError):
    """A checkpoint from which nothing can be continued."""


def load(path: Path) -> dict[str, Any]:
    """The state saved at that path.

    Raises `DamagedError` if its contents cannot be read, `InputError` if it is of another version, `OSError` if the
    disk fails.
    """
    import torch

    try:
        state: dict[str, Any] = torch.load(path / "state.pt", map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DamagedError(f"checkpoint {path} cannot be read: it has no state.pt") from error
    except OSError:
        raise
    except Exception as error:  # torch raises half a dozen types for a damaged file
        raise DamagedError(f"checkpoint {path} cannot be read: {str(error).partition(chr(10))[0]}") from error
    if state.get("version") != VERSION:
        raise InputError(
            f"checkpoint {path} has version {state.get('version')}; allowed: {VERSION}; continue the run with the "
            "version of bdw that began it, or begin it anew in another --run-dir"
        )
    return state
