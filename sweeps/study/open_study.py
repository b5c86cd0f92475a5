"""The Optuna study that knows what is done: opened by name, checked against the experiment, continued after a kill."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, TextIO

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from bdw.errors import InputError
from sweeps.study.driver_record import DriverRecord
from sweeps.study.sampler import CONTINUES, RepeatableTPE
from sweeps.study.storage import open_database, open_journal, told_clearly
from sweeps.study.tables import was_withdrawn

Direction = Literal["minimize", "maximize"]

CRASHED = "crashed"
"""User attribute of a trial that failed without reporting a reason: an exception, or its process or machine died."""

# States that need no more work. A failed trial does: its result is still unknown.
SETTLED = (TrialState.COMPLETE, TrialState.PRUNED)


@contextmanager
def only_driver(sweep_dir: Path) -> Iterator[None]:
    """Hold the sweep's lock while the block runs; the system releases it when the process ends, however it ends.

    Without the lock a second driver would take the first one's running trials for orphans. Raises `InputError` if
    another process holds it; the line says which, and since when.
    """
    sweep_dir.mkdir(parents=True, exist_ok=True)
    with (sweep_dir / ".driver.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"name: {sweep_dir.name!r} is being run by {_holder(lock)}; wait, or choose another name"
            ) from None
        lock.truncate(0)
        json.dump(asdict(DriverRecord.of_this_process()), lock)
        lock.flush()
        yield


def _holder(lock: TextIO) -> str:
    """Who wrote itself into the lock's file; it may not have come to that yet."""
    lock.seek(0)
    try:
        return DriverRecord(**json.load(lock)).who_and_since
    except (ValueError, TypeError):
        return "another process, which has just begun"


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
    directory follows from its parameters, so that the new trial continues from the old one's checkpoint. What was run
    to its end meanwhile by another trial is not queued. Without `enqueue` trials are only failed, for a caller that
    queues what is missing itself.
    """
    trials = study.get_trials(deepcopy=False)
    taken_up = {trial.user_attrs.get(CONTINUES) for trial in trials if not was_withdrawn(trial)}
    withdrawn = {trial.user_attrs.get(CONTINUES) for trial in trials if was_withdrawn(trial)}
    settled_runs = {trial.user_attrs.get("run") for trial in trials if trial.state in SETTLED}
    crashes = {trial.number for trial in trials if trial.user_attrs.get(CRASHED)}
    unfinished = [trial for trial in trials if trial.state == TrialState.RUNNING]
    crashed = [trials[number] for number in crashes if trials[number].user_attrs.get(CONTINUES) not in crashes]
    lost = {trial.number: trial for trial in (*unfinished, *crashed, *(trials[n] for n in withdrawn if n is not None))}
    continued = 0
    for number, trial in sorted(lost.items()):
        is_open = trial.user_attrs.get("run", number) not in settled_runs
        # Queued before it is failed: a kill in between must leave a trial twice rather than not at all.
        if enqueue and is_open and number not in taken_up:
            kept = {key: trial.user_attrs[key] for key in ("origin",) if key in trial.user_attrs}
            parameters = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
            study.enqueue_trial(parameters, user_attrs={**kept, CONTINUES: number})
        continued += is_open and (number not in taken_up or trial.state == TrialState.RUNNING)
        if trial.state == TrialState.RUNNING:
            # The study's own methods cannot annotate a trial that another process asked for.
            study._storage.set_trial_user_attr(trial._trial_id, "reason", "the driver ended before the trial did")
            study.tell(number, state=TrialState.FAIL)
    return continued if enqueue else len(unfinished)


def withdraw_waiting(study: optuna.Study, *, beyond: int) -> list[FrozenTrial]:
    """Take out of the queue all but `beyond` trials, those that continue another one's work last; returns them.

    Nobody would ever start them, and the study would show them as waiting for ever. What they were to continue is
    queued again when the sweep is started for more trials (`requeue_unfinished`).
    """
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    first = sorted(waiting, key=lambda trial: (CONTINUES not in trial.user_attrs, trial.number))
    surplus = first[max(0, beyond) :]
    for trial in surplus:
        # The study's own methods tell only trials that run.
        study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
    return surplus


def settled_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that are done, complete or stopped early, by number."""
    return study.get_trials(deepcopy=False, states=SETTLED)


def _difference(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    keys = [key for key in {**stored, **wanted} if stored.get(key) != wanted.get(key)]
    return "; ".join(f"{key}: {stored.get(key)!r} there, {wanted.get(key)!r} here" for key in sorted(keys)[:3])
