"""log.txt: what a console would have shown of a run that has none, beside the run's other files."""

from __future__ import annotations

import io
import logging
import os
import platform
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path

from bdw.errors import InputError, RunError, RunStopped
from bdw.storage.remote_folder import RemoteFolder

NAME = "log.txt"
"""Of the first worker."""
TRIAL = "log_trial.txt"
"""Of the trial that waits for several workers."""
MOST_BYTES = 1 << 20
"""Of a log; what is older moves to a second file of that size, and is lost with the next one."""
PATTERN = r"log(_\w+)?\.txt(\.1)?"
"""Names of all logs of a run, as a regular expression."""

logger = logging.getLogger(__name__)


def name_of(rank: int) -> str:
    """The log of a worker: `log.txt` of the first one, then `log_worker_1.txt` and so on."""
    return NAME if rank == 0 else f"log_worker_{rank}.txt"


class Log(io.TextIOBase):
    """A text file whose lines become records of a handler."""

    def __init__(self, handler: logging.Handler):
        self._handler = handler
        self._begun = ""

    def write(self, text: str) -> int:
        """Log the lines that are whole by now; returns the number of characters taken."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._handler.handle(logging.LogRecord(__name__, logging.INFO, "", 0, line.rstrip(), None, None))
        return len(text)


@contextmanager
def logged_to(path: Path, *, who: str = "", storage: str | None = None) -> Iterator[Log]:
    """Keep a log while the block runs: all that is written to the file that it gets, all warnings of this process, and
    how the block ends if it raises. Lines have the local time; an older log is continued.

    `who` is said in the first line beside machine and process. `storage`: address of the run's copy, which gets the log
    when the block ends. A log that cannot be written or copied ends no run.
    """
    handler = _Bounded(path)
    handler.setFormatter(_Format("%(asctime)s  %(message)s", "%Y-%m-%d %H:%M:%S"))
    root = logging.getLogger()
    # Without another handler Python prints warnings by one that it keeps for that case.
    added = [handler, *([logging.lastResort] if logging.lastResort and not root.handlers else [])]
    log = Log(handler)
    with suppress(OSError):  # The first line will say so.
        path.parent.mkdir(parents=True, exist_ok=True)
    for each in added:
        root.addHandler(each)
    try:
        print(f"process {os.getpid()} on {platform.node()}{f', {who}' if who else ''}", file=log)
        yield log
    except (InputError, RunError, RunStopped) as error:
        print(f"{type(error).__name__}: {error}", file=log)
        raise
    except Exception:
        print(traceback.format_exc(), file=log)
        raise
    except BaseException:  # How a trial is ended that its sweep stops.
        print("stopped before its end", file=log)
        raise
    finally:
        for each in added:
            root.removeHandler(each)
        handler.close()
        if storage is not None:
            _copy(path, storage)


class _Bounded(RotatingFileHandler):
    """Two files of `MOST_BYTES` at most. Says once that they cannot be written."""

    def __init__(self, path: Path):
        super().__init__(path, maxBytes=MOST_BYTES, backupCount=1, encoding="utf-8", delay=True)
        self._has_told = False

    def handleError(self, record: logging.LogRecord) -> None:
        if not self._has_told:
            self._has_told = True
            print(f"warning: {self.baseFilename} cannot be written: {sys.exception()}", file=sys.stderr)


class _Format(logging.Formatter):
    """A line of the console as it is; a warning with its level."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        if record.levelno >= logging.WARNING:
            record.message = f"{record.levelname.lower()}: {record.message}"
        return super().formatMessage(record)


def _copy(path: Path, storage: str) -> None:
    try:
        if path.is_file():
            RemoteFolder.at(storage).push(path, path.name)
    except (InputError, OSError) as error:
        logger.warning("%s cannot be copied to %s: %s", path.name, storage, error)
