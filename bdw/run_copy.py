"""The copy that a run keeps of itself in a storage that outlives its machine (`storage_path`)."""

from __future__ import annotations

import logging

from bdw.config import OutputConfig, RunConfig
from bdw.errors import InputError
from bdw.mirror import Mirror
from bdw.patience import persistently
from bdw.run_directory import RunDirectory

logger = logging.getLogger(__name__)


class RunCopy:
    """Rank 0's business: it writes the run directory, so it copies it, too. Does nothing without a `storage_path`."""

    def __init__(self, run: RunDirectory, output: OutputConfig):
        """`InputError` for an address that cannot be understood."""
        self._run = run
        self._mirror = Mirror.at(output.storage_path) if output.storage_path else None
        self._patience = output.storage_patience

    def claim(self, config: RunConfig) -> None:
        """Before a run: make sure that it may write to its directory and its copy, and fetch what the copy has more of.

        `InputError` if either holds another run, or this one without `resume`, or cannot be written.
        """
        self._run.claim(config)
        self.bring_back(resume=config.output.resume)
        # What was brought back may be of another run.
        self._run.claim(config)

    def bring_back(self, *, resume: bool) -> None:
        """Make sure that the storage can be written, and fetch what it has if that is further.

        `InputError` if it cannot be written, or holds a run that is not to be resumed.
        """
        if self._mirror is None:
            return
        mirror = self._mirror
        mirror.require_writable()
        if not resume:
            if there := mirror.checkpoints():
                raise InputError(
                    f"storage_path: {mirror.root} already holds a run (after {there[-1]}); choose another "
                    "--storage-path, or continue it with --resume"
                )
            return
        persistently(lambda: mirror.pull_run(self._run.path), what=f"reading {mirror.root}", seconds=self._patience)

    def push(self, *, best_epoch: int | None, at_end: bool) -> None:
        """Copy what is new. What fails is logged, for the next checkpoint makes up for it; `at_end` there is none, so
        that it is tried again until patience ends in an `OSError`."""
        if self._mirror is None:
            return
        mirror = self._mirror

        def push() -> None:
            mirror.push_run(self._run.path, best_epoch=best_epoch)

        if at_end:
            persistently(push, what=f"copying the run to {mirror.root}", seconds=self._patience)
            return
        try:
            push()
        except OSError as error:
            logger.warning("copying the run to %s failed (%s); the next checkpoint tries again", mirror.root, error)
