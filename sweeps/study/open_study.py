"""The Optuna study that knows what is done: opened by name, checked against the experiment, continued after a kill."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from bdw.errors import InputError
from sweeps.study.sampler import CONTINUES, RepeatableTPE
from sweeps.study.storage import open_database, open_journal, told_clearly

Direction = Literal["minimize", "maximize"]

CRASHED = "crashed"
"""User attribute of a trial that failed without reporting a reason: an exception, or its process or machine died."""

# States that need no more work. A failed trial does: its result is still unknown.
SETTLED = (TrialState.COMPLETE, TrialState.PRUNED)


@contextmanager
def only_driver(sweep_dir: Path) -> Iterator[None]:
    """Hold the sweep's lock while the block runs; the system releases it when the process ends, however it ends.

    Without the lock a second driver would take the first one's running trials for orphans. Raises `InputError` if
    another process holds it.
    """
    sweep_dir.mkdir(parents=True, exist_ok=True)
    with (sweep_dir / ".driver.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"name: {sweep_dir.name!r} is being run by another process; wait, or choose another name"
            ) from None
        yield


def open_storage(journal: Path, url: str | None = None) -> BaseStorage:
    """The journal file, or the database at an SQLAlchemy URL (`sqlite:///study.db`, `postgresql://...`).

    Raises `InputError` if it cannot be opened.
    """
    return open_journal(journal) if url is None else open_database(url)


def open_study(
    storage: BaseStorage,
    name: str,
    *,
    directions: Sequence[Direction],
    experiment: Mapping[str, Any],
    seed: int,
) -> optuna.Study:
    """The study of that name, new or continued.

    Args:
        storage: Where studies are kept.
        name: Names the study within the storage.
        directions: `maximize` or `minimize` for each objective.
        experiment: What must be the same for results to be comparable (JSON types); stored with the study.
        seed: Of the sampler.

    Raises:
        InputError: The name belongs to another experiment (says which settings differ), or the storage is gone.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with told_clearly():
        study = optuna.create_study(storage=storage, study_name=name, directions=list(directions), load_if_exists=True)
        wanted = json.loads(json.dumps(dict(experiment)))
        stored = study.user_attrs.get("experiment")
        if stored is not None and stored != wanted:
            raise InputError(
                f"name: {name!r} holds another experiment ({_difference(stored, wanted)}); choose another name"
            )
        if stored is None:
            study.set_user_attr("experiment", wanted)
    study.sampler = RepeatableTPE(seed)
    return study


def requeue_unfinished(study: optuna.Study, *, enqueue: bool = True) -> int:
    """Fail the trials that a dead driver left running, and queue them again; returns how many are continued.

    Crashed trials are queued again, too, once each, since a dead machine is no reason to lose a trial. A trial's run
    directory follows from its parameters, so that the new trial continues from the old one's checkpoint. Without
    `enqueue` trials are only failed, for a caller that queues what is missing itself.
    """
    trials = study.get_trials(deepcopy=False)
    continued = {trial.user_attrs.get(CONTINUES) for trial in trials}
    crashes = {trial.number for trial in trials if trial.user_attrs.get(CRASHED)}
    unfinished = [trial for trial in trials if trial.state == TrialState.RUNNING]
    crashed = [trials[number] for number in crashes if trials[number].user_attrs.get(CONTINUES) not in crashes]
    lost = [*unfinished, *(trial for trial in crashed if trial.number not in continued)]
    for trial in sorted(lost, key=lambda trial: trial.number):
        # Queued before it is failed: a kill in between must leave a trial twice rather than not at all.
        if enqueue and trial.number not in continued:
            kept = {key: trial.user_attrs[key] for key in ("origin",) if key in trial.user_attrs}
            parameters = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
            study.enqueue_trial(parameters, user_attrs={**kept, CONTINUES: trial.number})
        if trial.state == TrialState.RUNNING:
            # The study's own methods cannot annotate a trial that another process asked for.
            study._storage.set_trial_user_attr(trial._trial_id, "reason", "the driver ended before the trial did")
            study.tell(trial.number, state=TrialState.FAIL)
    return len(lost) if enqueue else len(unfinished)


def settled_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that are done, complete or stopped early, by number."""
    return study.get_trials(deepcopy=False, states=SETTLED)


def _difference(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    keys = [key for key in {**stored, **wanted} if stored.get(key) != wanted.get(key)]
    return "; ".join(f"{key}: {stored.get(key)!r} there, {wanted.get(key)!r} here" for key in sorted(keys)[:3])
