"""Files and folders that are either whole or not there: written under a temporary name, then renamed."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bdw.errors import InputError
from bdw.storage.spelt_out import HANDLER


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write a file or folder to; takes `path`'s place if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    before = temporary.with_suffix(".old.tmp")
    try:
        yield temporary
        for written in [temporary, *temporary.rglob("*")]:
            flush(written)
        if path.is_dir():
            # A folder cannot be renamed over another one. A crash between the two lines leaves no folder at `path`, but
            # both on disk.
            path.rename(before)
        temporary.replace(path)
        flush(path.parent)
    finally:
        for left in (temporary, before):
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Flush what was written to the disk; otherwise a power cut may keep the new name and lose the contents."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a whole text file, or nothing; paths in the text are spelt out (`spelt_out`)."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors=HANDLER)


def require_new(out: Path) -> None:
    """`InputError` if there is something at that path, which is to be written."""
    if out.exists() or out.is_symlink():
        raise InputError(f"out: {out} already exists; allowed: a path where nothing is yet")
