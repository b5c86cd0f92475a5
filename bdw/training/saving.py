"""When a run is saved, and where: its checkpoints, its files and its backup. Rank 0 writes while the others wait."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bdw.config import RunConfig
from bdw.config.budget import Budget
from bdw.parallel import collectives
from bdw.parallel.stop_requests import StopRequests
from bdw.runs import checkpoint
from bdw.runs.backup import RunBackup
from bdw.runs.checkpoint import Position
from bdw.runs.directory import RunDirectory
from bdw.storage.retry import persistently
from bdw.training import resume


class Saving:
    """The run's files; every method is called on all workers."""

    def __init__(self, run: RunDirectory, config: RunConfig, requests: StopRequests, *, storage_is_known: bool):
        """Claim the run directory and its storage, or raise `InputError` (`RunBackup.claim`).

        `requests`: hear of every checkpoint. `storage_is_known`: see `Trainer`.
        """
        self._run = run
        self._config = config.output
        self._requests = requests
        self._backup = collectives.on_all(lambda: RunBackup(run, config.output, is_known=storage_is_known))
        collectives.on_first(lambda: self._backup.claim(config))

    def newest(self) -> tuple[dict[str, Any], str] | None:
        """What the run is to continue from, as `resume.newest` has it; None where it begins."""
        if not self._config.resume:
            return None
        return resume.newest(self._run.checkpoints, patience=self._config.storage_patience)

    def is_due(self, budget: Budget, before: tuple[int, int], after: tuple[int, int]) -> bool:
        """Whether an epoch ends with a checkpoint. By the clock, too, so that cheap epochs far apart do not add up to
        more than is meant to be lost."""
        return budget.is_due(self._config.checkpoint_every, before, after) or collectives.from_first(
            self._requests.minutes_are_up()
        )

    def checkpoint(self, contents: Mapping[str, Any], position: Position, best_epoch: int | None) -> None:
        """A checkpoint of this moment, and deletion of those that it makes superfluous."""
        folder, keep = self._run.checkpoints, self._config.keep_checkpoints

        def save() -> None:
            checkpoint.save(folder, position, dict(contents))
            checkpoint.delete_superseded(folder, keep=keep, best_epoch=best_epoch)

        self.write(save, f"the checkpoint after {position}")
        self._requests.saved()

    def write(self, action: Callable[[], object], what: str) -> None:
        """Let rank 0 write, patiently; no worker goes on before it has."""
        patience = self._config.storage_patience
        collectives.on_first(lambda: persistently(action, what=f"writing {what}", seconds=patience))

    def back_up(self, *, best_epoch: int | None, at_end: bool) -> None:
        """Copy what is new to the storage, if there is one; see `RunBackup.push`."""
        collectives.on_first(lambda: self._backup.push(best_epoch=best_epoch, at_end=at_end))
