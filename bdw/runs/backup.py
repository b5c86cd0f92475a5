"""The copy that a run keeps of itself in a storage that outlives its machine (`storage_path`)."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import TypeVar

from bdw.config import OutputConfig, RunConfig
from bdw.config.identity import differences
from bdw.errors import InputError
from bdw.runs.backup_files import checkpoints, has_results, pull_run, push_run
from bdw.runs.directory import RunDirectory
from bdw.storage.remote_folder import RemoteFolder
from bdw.storage.retry import persistently

T = TypeVar("T")
logger = logging.getLogger(__name__)


class RunBackup:
    """The copy of a run directory, made by rank 0, which writes that directory. Does nothing without a
    `storage_path`."""

    def __init__(self, run: RunDirectory, output: OutputConfig, *, is_known: bool = False):
        """`is_known`: the storage worked when the run was started, so a failure now is waited out.

        `InputError` for an address that cannot be understood, or that is the run's own folder.
        """
        self._run = run
        self._remote = RemoteFolder.at(output.storage_path) if output.storage_path else None
        self._patience = output.storage_patience
        self._is_known = is_known
        if self._remote is not None:
            self._remote.require_apart_from(run.path)

    def claim(self, config: RunConfig) -> None:
        """Make sure, before a run, that it may write to its directory and its copy, and fetch the copy if it is
        further.

        `InputError` if either holds another run, holds this run without `resume`, or cannot be written.
        """
        self._run.claim(config)
        if self._remote is None:
            return
        remote = self._remote
        if not self._is_known:
            remote.require_writable()
        there = self._read(lambda: checkpoints(remote))
        if there and not config.output.resume:
            raise InputError(
                f"storage_path: {remote.root} already holds a run (after {there[-1]}); choose another "
                "--storage-path, or continue it with --resume"
            )
        is_finished = not there and self._read(lambda: has_results(remote))
        if is_finished and not config.output.resume:
            raise InputError(f"storage_path: {remote.root} already holds a finished run; choose another --storage-path")
        if there or is_finished:
            self._require_same_run(config)
            self.bring_back()

    def bring_back(self) -> None:
        """Fetch the copy if it is further than the run directory."""
        if self._remote is not None:
            remote = self._remote
            self._read(lambda: pull_run(remote, self._run.path))

    def push_files(self) -> None:
        """Copy the run's own files once more, without its checkpoints."""
        if self._remote is not None:
            self._remote.push_files(self._run.path, seconds=self._patience)

    def push(self, *, best_epoch: int | None, at_end: bool) -> None:
        """Copy what is new. A failure is logged, and the next checkpoint copies what is missing. `at_end` no checkpoint
        follows: the copy is tried again for `storage_patience` seconds, then `OSError`."""
        if self._remote is None:
            return
        remote = self._remote

        def push() -> None:
            push_run(remote, self._run.path, best_epoch=best_epoch)

        if at_end:
            self._patiently(push, "copying the run to")
            return
        try:
            push()
        except OSError as error:
            logger.warning("copying the run to %s failed (%s); the next checkpoint tries again", remote.root, error)

    def _require_same_run(self, config: RunConfig) -> None:
        """`InputError` if the copy is of another run, which must not replace what is here."""
        assert self._remote is not None
        remote, name = self._remote, self._run.config.name
        text = self._read(lambda: remote.read_text(name))
        try:
            there = None if text is None else json.loads(text)["config"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"storage_path: {remote.root}/{name} cannot be read: {error}") from error
        if there is not None and (different := differences(there, config.flat())):
            raise InputError(
                f"storage_path: {remote.root} holds another run, --resume cannot continue it: {'; '.join(different)}"
            )

    def _read(self, action: Callable[[], T]) -> T:
        return self._patiently(action, "reading")

    def _patiently(self, action: Callable[[], T], doing: str) -> T:
        assert self._remote is not None
        return persistently(action, what=f"{doing} {self._remote.root}", seconds=self._patience)
