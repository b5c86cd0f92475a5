"""Storages of studies: opened, and mended after a kill; one clear line if a storage is locked, damaged or gone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from optuna.exceptions import StorageInternalError
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileSymlinkLock
from optuna.storages.journal._file import get_lock_file
from sqlalchemy import event, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError

from bdw.errors import InputError
from sweeps.study.journal import Journal

OPENING_ATTEMPTS = 5
LOCK_TIMEOUT = 60
"""Seconds to wait for others that write to an SQLite file; its own default of 5 is short for several drivers."""


def open_journal(path: Path) -> JournalStorage:
    """The journal file, made if it is not there. Raises `InputError` if it cannot be read or written."""
    try:
        if path.exists():
            mend(path)
        return JournalStorage(Journal(path))
    except OSError as error:
        raise InputError(f"study: {path} cannot be opened: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AssertionError) as error:  # Optuna, on lines not its own.
        raise InputError(
            f"study: {path} is damaged ({_first_line(error)}); allowed: a journal that Optuna wrote, or another name"
        ) from error


def open_database(url: str) -> RDBStorage:
    """The database at an SQLAlchemy URL. Raises `InputError` if it cannot be reached, used or written."""
    options = {"connect_args": {"timeout": LOCK_TIMEOUT}} if url.startswith("sqlite") else {}
    for attempt in range(1, OPENING_ATTEMPTS + 1):
        try:
            storage = RDBStorage(url, engine_kwargs=options)
            break
        except Exception as error:  # SQLAlchemy's and the drivers' errors have no common base.
            # Processes that open a new database at once may all try to make its tables and their first rows.
            is_race = isinstance(error, IntegrityError) or "already exists" in str(error)
            if attempt == OPENING_ATTEMPTS or not is_race:
                raise InputError(
                    f"study_storage: {without_password(url)!r} cannot be opened: {_reason(error)}"
                ) from error
            time.sleep(0.2 * attempt)
    if url.startswith("sqlite"):
        _lock_before_reading(storage)
    return storage


def require_database_url(url: str) -> None:
    """Raise `InputError` for what is no SQLAlchemy URL of a known kind of database; nothing is connected to."""
    try:
        make_url(url).get_dialect()
    except (ArgumentError, NoSuchModuleError) as error:
        raise InputError(
            f"study_storage: {without_password(url)!r} cannot be used: {_first_line(error)}; allowed: an "
            "SQLAlchemy URL such as sqlite:////absolute/path or postgresql://host/database"
        ) from error
    except ImportError:
        pass  # The machine that opens it may have the driver.


def without_password(url: str) -> str:
    """The database's address as anybody may see it."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url  # No address, and so no password in it.


@contextmanager
def told_clearly(what: str = "study") -> Iterator[None]:
    """Within the block, errors of a storage that went away or stays locked become an `InputError`."""
    try:
        yield
    except StorageInternalError as error:
        raise InputError(f"{what}: its storage is locked or gone: {_reason(error)}") from error
    except OSError as error:
        raise InputError(f"{what}: its storage is locked or gone: {error.strerror or error}") from error


def mend(journal: Path) -> None:
    """Cut off what a process that was killed, or a full disk, left at the end: blank lines and one that is no record.

    The next writer would write behind it, and nobody could read the journal any more. Raises `ValueError` with the
    line's number for a journal that is damaged before its end, and leaves that one as it is.
    """
    with journal.open("rb") as file:
        if _size_of_records(file) == journal.stat().st_size:
            return
    with get_lock_file(JournalFileSymlinkLock(str(journal))), journal.open("r+b") as file:
        file.truncate(_size_of_records(file))  # Nobody is in the middle of a line while we hold the lock.


def _lock_before_reading(storage: RDBStorage) -> None:
    """Let an SQLite file be locked from a transaction's first read on.

    SQLite lacks SELECT ... FOR UPDATE, on which Optuna relies: two processes would take the same waiting trial. The
    recipe is that of SQLAlchemy's manual ("Serializable isolation / Savepoints / Transactional DDL").
    """

    def leave_it_to_us(connection: Any, record: object) -> None:
        connection.isolation_level = None

    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(storage.engine, "connect", leave_it_to_us)
    event.listen(storage.engine, "begin", begin)
    storage.engine.dispose()  # Connections that were made before.


def _size_of_records(file: BinaryIO) -> int:
    """Bytes of the records from the start on. Raises `ValueError` if more than one broken write follows them."""
    size, bad, broken_writes = 0, 0, 0
    for number, line in enumerate(file, start=1):
        if is_record := _is_record(line):
            size += len(line)
        else:
            bad = bad or number
            broken_writes += bool(line.strip())
        if bad and (is_record or broken_writes > 1):
            raise ValueError(f"line {bad} is no record of a study")
    return size


def _is_record(line: bytes) -> bool:
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return line.endswith(b"\n") and isinstance(record, dict) and {"op_code", "worker_id"} <= record.keys()


def _reason(error: BaseException) -> str:
    """The first line of a database driver's error; Optuna wraps it in a guess about invalid data."""
    return _first_line(error.__cause__ or error)


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0].strip() or type(error).__name__
