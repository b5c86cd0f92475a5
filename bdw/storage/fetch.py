"""A remote folder on this machine's own disk: fetched once, however many processes ask for it at the same moment.

The first process fetches, the others wait for it. The folder appears under its name when all of it is there and was
checked; until then it lies beside that name, and whoever comes after an interruption continues there.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path
from typing import Any

from bdw.errors import InputError
from bdw.storage.atomic_write import flush, write_text
from bdw.storage.process_lock import only_one
from bdw.storage.remote_folder import RemoteFile, RemoteFolder
from bdw.storage.retry import persistently

SECONDS = 300.0
"""For how long a storage that fails is asked again, anew for every file."""
_CHUNK = 16 << 20  # Bytes of one request.
_AT_ONCE = 8
_LISTING = ".listing.json"

logger = logging.getLogger(__name__)


def fetch_once(
    remote: RemoteFolder,
    files: Sequence[RemoteFile],
    folder: Path,
    *,
    what: str,
    check: Callable[[Path], object] = lambda folder: None,
    seconds: float = SECONDS,
) -> Path:
    """The folder with these files of the remote folder; at once if it is there already.

    `what` names it in log lines. `check` gets the complete, unpublished folder and raises `InputError` if its contents
    are wrong; then nothing is kept of it. Files keep the time of their last change. Raises `InputError` if the disk has
    too little room, `OSError` if the storage still fails after `seconds`.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.is_dir():
        return folder
    with only_one(folder, f"fetching {what}"):
        if folder.is_dir():
            return folder
        unfinished = folder.with_name(f".{folder.name}.part")
        _keep_what_still_holds(unfinished, remote, files)
        _require_room(unfinished, files, what)
        logger.info("fetching %s", what)
        _fetch(remote, files, unfinished, what, seconds)
        try:
            check(unfinished)
        except InputError:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        (unfinished / _LISTING).unlink()
        unfinished.rename(folder)
        flush(folder.parent)
    return folder


def _keep_what_still_holds(unfinished: Path, remote: RemoteFolder, files: Sequence[RemoteFile]) -> None:
    """Make the folder, or keep what an interrupted process left there if the remote files are still the same."""
    listing = json.dumps([remote.root, *map(astuple, files)])
    note = unfinished / _LISTING
    if not (note.is_file() and note.read_text() == listing):
        shutil.rmtree(unfinished, ignore_errors=True)
        write_text(note, listing)


def _require_room(unfinished: Path, files: Sequence[RemoteFile], what: str) -> None:
    wanted = sum(file.size - _size(unfinished / file.name) for file in files)
    free = shutil.disk_usage(unfinished).free
    if wanted > free:
        raise InputError(
            f"cache_dir: {what} needs {wanted / 1e9:.2f} GB more, {unfinished.parent} has {free / 1e9:.2f} GB free; "
            "allowed: a folder with enough room"
        )


def _fetch(remote: RemoteFolder, files: Sequence[RemoteFile], folder: Path, what: str, seconds: float) -> None:
    def fetch(file: RemoteFile) -> None:
        path = folder / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        persistently(
            lambda: _continue(remote, file, path, requests), what=f"fetching {what}, {file.name}", seconds=seconds
        )
        os.utime(path, ns=(file.modified, file.modified))
        flush(path)

    # Threads that wait for requests of a large file are not the threads that make them.
    with ThreadPoolExecutor(_AT_ONCE) as requests, ThreadPoolExecutor(_AT_ONCE) as small:
        begun = [small.submit(fetch, file) for file in files if file.size <= _CHUNK]
        try:
            for one in begun:
                one.result()
        finally:
            small.shutdown(cancel_futures=True)
        for file in files:
            if file.size > _CHUNK:
                fetch(file)


def _continue(remote: RemoteFolder, file: RemoteFile, path: Path, requests: ThreadPoolExecutor) -> None:
    """Append what the file here lacks. `OSError` if the remote one ends sooner than it was listed."""
    have = _size(path)
    if have > file.size:
        path.unlink()
        have = 0
    with remote.files.open_input_file(f"{remote.root}/{file.name}") as stream, path.open("ab") as written:
        for chunk in _in_order(lambda at: stream.read_at(_CHUNK, at), range(have, file.size, _CHUNK), requests):
            written.write(chunk)
    if _size(path) != file.size:
        raise OSError(f"{file.name} has {_size(path)} of {file.size} bytes")


def _in_order(read: Callable[[int], Any], offsets: Sequence[int], requests: ThreadPoolExecutor) -> Iterator[Any]:
    """What `read` gives for every offset, in their order, asked for a few at a time."""
    waiting: deque[Future[Any]] = deque()
    try:
        for at in offsets:
            if len(waiting) == _AT_ONCE:
                yield waiting.popleft().result()
            waiting.append(requests.submit(read, at))
        while waiting:
            yield waiting.popleft().result()
    finally:
        # The stream is closed after this, and must not be while somebody reads.
        for request in waiting:
            request.cancel()
        for request in waiting:
            if not request.cancelled():
                request.exception()


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
