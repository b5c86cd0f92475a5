"""Resumable state on disk: `checkpoints/epoch_0003/state.pt`, written whole or not at all, read without unpickling."""

from __future__ import annotations

import errno
import logging
import re
import shutil
from pathlib import Path
from typing import Any

import torch

from bdw.atomic import replacing
from bdw.errors import InputError

VERSION = 1
logger = logging.getLogger(__name__)


def save(folder: Path, epoch: int, state: dict[str, Any], keep: int) -> Path:
    """Write the state after that epoch (tensors, numbers, strings and containers of them); keep the last `keep`."""
    path = folder / f"epoch_{epoch:04d}"
    try:
        with replacing(path) as temporary:
            temporary.mkdir(parents=True)
            torch.save({"version": VERSION, "epoch": epoch, **state}, temporary / "state.pt")
    except RuntimeError as error:  # torch hides a full disk in one
        reason = f"the checkpoint could not be written ({str(error).splitlines()[0]})"
        raise OSError(errno.EIO, reason, str(path)) from error
    for old in _all(folder)[:-keep]:
        try:
            shutil.rmtree(old)
        except OSError as error:
            logger.warning("could not delete the old checkpoint %s: %s", old, error)
    return path


def last(folder: Path) -> Path | None:
    """The newest checkpoint in that folder, or none."""
    found = _all(folder)
    return found[-1] if found else None


def load(path: Path) -> dict[str, Any]:
    """The state saved at that path; `InputError` if it cannot be read or is of another version."""
    try:
        state: dict[str, Any] = torch.load(path / "state.pt", map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen types for a damaged file
        raise InputError(f"checkpoint {path} cannot be read: {error}") from error
    if state.get("version") != VERSION:
        raise InputError(f"checkpoint {path} has version {state.get('version')}; allowed: {VERSION}")
    return state


def _all(folder: Path) -> list[Path]:
    found = (p for p in folder.glob("epoch_*") if re.fullmatch(r"epoch_\d+", p.name))
    return sorted(found, key=lambda p: int(p.name.removeprefix("epoch_")))
