"""Whose checkpoints a sweep keeps: those of all trials, of the best ones, or of none.

Only trials that need no more work lose theirs: complete ones and those that were stopped early. A trial that failed or
was cut short keeps its checkpoints, since the next start of the sweep goes on from them.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import ray
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from pyarrow import ArrowException
from ray import tune
from ray.tune.experiment import Trial

from bdw.errors import InputError
from bdw.ray.machine_clean_up import delete_on_every_machine
from bdw.runs import checkpoint
from bdw.runs.backup_files import CHECKPOINTS, delete_checkpoints
from bdw.storage.remote_folder import RemoteFolder
from sweeps.runner.options import ALL, BEST
from sweeps.runner.paths import Paths
from sweeps.study.best import best_of
from sweeps.study.open_study import SETTLED
from sweeps.study.storage import told_clearly

SECONDS_BETWEEN = 30.0
SECONDS_AFTER_THE_END = 30.0
"""Workers of a stopped trial may still write for a moment."""
SECONDS_TO_WAIT = 30.0
"""For other machines, at the end of a stage."""

logger = logging.getLogger(__name__)


def best_of_each_domain(trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> list[FrozenTrial]:
    """The best complete trial of every target domain (`best_of`); scores on different targets do not compare."""
    groups: dict[str, list[FrozenTrial]] = defaultdict(list)
    for trial in trials:
        groups[str(trial.user_attrs.get("domain"))].append(trial)
    found = (best_of(group, directions) for group in groups.values())
    return [trial for trial in found if trial is not None]


def superfluous(trials: Iterable[FrozenTrial], kept: Iterable[FrozenTrial], *, ended_before: datetime) -> list[str]:
    """The runs of trials that ended before that moment and need no more work, but for those of the trials `kept`, and
    for runs that another trial is at. Sorted names."""
    trials, stay = list(trials), {run for trial in kept for run in runs_of(trial)}
    stay |= {run for trial in trials if trial.state == TrialState.RUNNING for run in runs_of(trial)}
    settled = [trial for trial in trials if trial.state in SETTLED]
    old = [trial for trial in settled if trial.datetime_complete is not None and trial.datetime_complete < ended_before]
    return sorted({run for trial in old for run in runs_of(trial)} - stay)


def runs_of(trial: FrozenTrial) -> list[str]:
    """Names of the runs that a trial trains, [] if it was never started."""
    one = trial.user_attrs.get("run")
    return list(trial.user_attrs.get("runs") or ([] if one is None else [one]))


class CheckpointCleanUp(tune.Callback):  # type: ignore[misc]
    """Deletes checkpoints that the sweep does not keep: of the run directories and of their copies in the storage.

    What cannot be deleted is logged, tried again later, and does not end the sweep.

    Args:
        keep: One of `KEPT`.
        study: Knows how trials ended.
        best: The trials that `best` keeps; default: `best_of_each_domain`.
    """

    def __init__(
        self,
        keep: str,
        study: optuna.Study,
        paths: Paths,
        *,
        best: Callable[[], Sequence[FrozenTrial]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keep = keep
        self._study = study
        self._paths = paths
        self._best = best or self._best_of_each_domain
        self._clock = clock
        self._last = clock()
        self._gone: set[str] = set()
        """Runs that have no checkpoints any more."""
        self._tasks: list[Any] = []
        """Of other machines, which delete what they have."""

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Called by Tune several times a second."""
        if self._keep != ALL and self._clock() - self._last >= SECONDS_BETWEEN:
            self._clean(ended_before=datetime.now() - timedelta(seconds=SECONDS_AFTER_THE_END))
            self._last = self._clock()

    def finish(self) -> None:
        """Delete what is left when no trial runs, also what an earlier start of the sweep left."""
        if self._keep == ALL:
            return
        self._clean(ended_before=datetime.max)
        if self._tasks:
            ray.wait(self._tasks, num_returns=len(self._tasks), timeout=SECONDS_TO_WAIT)

    def _clean(self, *, ended_before: datetime) -> None:
        try:
            with told_clearly():
                trials = self._study.get_trials(deepcopy=False)
                kept = self._best() if self._keep == BEST else []
        except InputError as error:
            logger.warning("checkpoints cannot be deleted yet: %s", error)
            return
        runs = [run for run in superfluous(trials, kept, ended_before=ended_before) if run not in self._gone]
        if not runs:
            return
        if self._paths.copy_at is not None and ray.is_initialized():
            # Each machine has its own run directories then.
            folders = [f"{self._paths.run_dir(run)}/{CHECKPOINTS}" for run in runs]
            self._tasks += delete_on_every_machine(folders)
        for run in runs:
            try:
                self._delete(run)
                self._gone.add(run)
            except (InputError, OSError, ArrowException) as error:
                logger.warning("the checkpoints of %s cannot be deleted yet: %s", run, error)

    def _delete(self, run: str) -> None:
        checkpoint.delete_all(Path(self._paths.run_dir(run)).expanduser() / CHECKPOINTS)
        copy = self._paths.run_copy(run)
        if copy is not None:
            delete_checkpoints(RemoteFolder.at(copy))

    def _best_of_each_domain(self) -> list[FrozenTrial]:
        complete = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return best_of_each_domain(complete, self._study.directions)

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks for a restore that has no use here.
        return {}
