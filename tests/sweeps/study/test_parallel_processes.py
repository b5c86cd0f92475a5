"""Many processes on one storage at once: every point of a grid is tried once, and every trial is told."""

from __future__ import annotations

import collections
import multiprocessing
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from bdw import evaluation
from sweeps.runner.search import enqueue_cells
from sweeps.runner.space import PAPER
from sweeps.study.objective import SCORE, score_alone
from sweeps.study.open_study import open_storage, open_study, requeue_unfinished
from sweeps.study.searcher import StudySearcher

NUM_PROCESSES, NUM_CELLS, LAST_EPOCH = 8, 48, 2
CELLS = [{"x": cell / NUM_CELLS} for cell in range(NUM_CELLS)]
OBJECTIVE = score_alone(evaluation.measure("accuracy"))


def open_again(folder: Path, kind: str) -> optuna.Study:
    url = f"sqlite:///{folder}/study.db" if kind == "database" else None
    storage = open_storage(folder / "study.journal", url)
    return open_study(storage, "sweep", directions=OBJECTIVE.directions, experiment={}, seed=0)


def propose(trial: optuna.Trial) -> dict[str, Any]:
    x = trial.suggest_float("x", 0, 1)
    return {"plan": {"x": x}, "labels": {"run": f"run-{x!r}"}}


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["journal", "database"])
def test_eight_processes_ask_and_tell_at_once(tmp_path: Path, kind: str) -> None:
    server = multiprocessing.get_context("forkserver")  # Imports once for all.
    server.set_forkserver_preload([__name__])
    start, told = server.Barrier(NUM_PROCESSES, timeout=120), server.Queue()
    processes = [
        server.Process(target=search, args=(tmp_path, kind, start, told), daemon=True) for _ in range(NUM_PROCESSES)
    ]
    for process in processes:
        process.start()
    said = [told.get(timeout=200) for _ in processes]
    assert not [words for words in said if isinstance(words, str)]
    asked = [number for numbers in said for number in numbers]
    for process in processes:
        process.join()

    study = open_again(tmp_path, kind)
    trials = study.get_trials()
    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert sorted(asked) == [trial.number for trial in trials], "asked for by two, or by none"
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    tried = collections.Counter(trial.params["x"] for trial in trials)
    assert [tried[cell["x"]] for cell in CELLS] == [1] * NUM_CELLS
    assert sum(tried.values()) == NUM_CELLS + len([x for x in tried if {"x": x} not in CELLS])
    for trial in trials:
        assert trial.value == trial.params["x"]
        assert trial.intermediate_values == {500: trial.value / 2, 1000: trial.value}
        assert trial.user_attrs["instances_seen"] == 200
    assert requeue_unfinished(study) == 0
    study._storage.remove_session()


def search(folder: Path, kind: str, start: Any, told: Any) -> None:
    """What each process does: hand back the numbers of its trials, or what went wrong."""
    try:
        told.put(search_among_others(folder, kind, start))
    except Exception as error:
        told.put(f"{type(error).__name__}: {error}")


def search_among_others(folder: Path, kind: str, start: Any) -> list[int]:
    """All of them make the study, one queues the grid, all search until nothing waits any more."""
    start.wait()
    study = open_again(folder, kind)
    if start.wait() == 0:
        enqueue_cells(study, CELLS, origin=PAPER)
    start.wait()
    searcher = StudySearcher(study, propose, objective=OBJECTIVE, num_new=NUM_CELLS)
    numbers = []
    while study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        config = searcher.suggest("only")
        assert isinstance(config, dict)
        numbers.append(searcher._live["only"].number)
        x = config["plan"]["x"]
        for epoch in range(1, LAST_EPOCH + 1):
            share = epoch / LAST_EPOCH
            last = {"epoch": epoch, "budget_share": share, SCORE: x * share, "instances_seen": 100 * epoch}
            searcher.on_trial_result("only", last)
        searcher.on_trial_complete("only", {**last, "ended": True})
    study._storage.remove_session()
    return numbers
