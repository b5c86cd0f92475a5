"""The first stage: which settings suit the search's target? Published settings first, then what Optuna proposes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from bdw.evaluation import Measure
from bdw.runs.directory import git_revision
from sweeps.runner.experiment import SearchExperiment
from sweeps.runner.space import PAPER, RECIPE, RECOMMENDED, describe, fields_of
from sweeps.runner.tune_runner import Workload, run_trials
from sweeps.study.best import best_of, best_score
from sweeps.study.early_stopping import BudgetHalving
from sweeps.study.open_study import SETTLED, requeue_unfinished, settled_trials, withdraw_waiting
from sweeps.study.revisions import other_revisions
from sweeps.study.sampler import CONTINUES
from sweeps.study.searcher import THOUSANDTHS, StudySearcher
from sweeps.study.tables import was_started

METHOD = "BDW"


def run_search(
    experiment: SearchExperiment,
    study: optuna.Study,
    workload: Workload,
    console: Console,
    *,
    write: Callable[[], object] = lambda: None,
) -> None:
    """Run trials until the study has the experiment's number of them; finished trials do not run again.

    `write` makes the sweep's table and page while trials end.
    """
    base, paths = experiment.base, experiment.paths
    num_new = experiment.num_trials - len(settled_trials(study))
    revision = git_revision()
    kept = study.get_trials(deepcopy=False, states=(*SETTLED, TrialState.RUNNING))
    if warning := other_revisions(kept, revision):
        console.print(warning, soft_wrap=True)
    requeue_unfinished(study)
    enqueue_cells(study, experiment.space.recommended_points(), origin=RECOMMENDED, at_most=num_new)
    enqueue_cells(study, experiment.space.paper_cells(), origin=PAPER, at_most=num_new)
    say_what_continues(study, withdraw_waiting(study, beyond=num_new), console)

    def propose(trial: optuna.Trial) -> dict[str, Any]:
        parameters = experiment.space.draw(trial)
        config = base.replace(**fields_of(parameters))
        run = paths.run_name(config, METHOD, experiment.search_room.contents)
        labels = {
            "run": run,
            "run_dir": paths.found_at(run),
            "title": describe(parameters),
            "method": METHOD,
            "domain": config.data.target,
            "seed": config.optimiser.seed,
            "git_revision": revision,
            **workload.labels,
            "spared": "origin" in trial.user_attrs,  # Published settings are to be complete.
        }
        plan = dataclasses.asdict(workload.plan(paths, config, run))
        return {"plan": plan, "labels": labels, "varied": parameters}

    searcher = StudySearcher(
        study,
        propose,
        objective=experiment.objective,
        num_new=num_new,
    )
    run_trials(
        "search",
        searcher,
        workload,
        paths,
        measure=experiment.measure,
        console=console,
        best_so_far=best_score(settled_trials(study), experiment.measure),
        scheduler=early_stopping(study, experiment.measure) if experiment.stops_early else None,
        write=write,
    )
    say_what_is_missing(searcher, console)


def enqueue_cells(
    study: optuna.Study, cells: Iterable[Mapping[str, Any]], *, origin: str, at_most: int | None = None
) -> None:
    """Queue the published settings that neither wait, run nor are finished; `origin` says who published them.

    Afterwards no more than `at_most` trials wait (None: no limit); the next start of a longer search queues the others.
    A cell that failed is tried once more each time the sweep is started.
    """
    states = (TrialState.WAITING, TrialState.RUNNING, *SETTLED)
    trials = study.get_trials(deepcopy=False, states=states)
    there = [trial.system_attrs.get("fixed_params") for trial in trials]
    missing = [dict(cell) for cell in cells if cell not in there]
    if at_most is not None:
        missing = missing[: max(0, at_most - sum(trial.state == TrialState.WAITING for trial in trials))]
    for cell in missing:
        study.enqueue_trial(cell, user_attrs={"origin": origin})


def say_what_continues(study: optuna.Study, left_out: Iterable[FrozenTrial], console: Console) -> None:
    """Say how many of the trials that wait go on with another one's work, and how many of those left out would have."""
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    continued = sum(CONTINUES in trial.user_attrs for trial in waiting)
    if continued:
        console.print(f"continuing {continued} trial(s) that were cut short, from their last checkpoints")
    dropped = sum(CONTINUES in trial.user_attrs for trial in left_out)
    if dropped:
        console.print(f"{dropped} trial(s) that were cut short are not continued: --samples has no room for them")


def say_what_is_missing(searcher: StudySearcher, console: Console) -> None:
    """Say how many trials were not started because their settings would have been drawn twice."""
    if searcher.num_not_found:
        console.print(
            f"search: {searcher.num_not_found} trial(s) fewer than asked for, since only settings were drawn that have "
            "run already; the space seems to be used up",
            soft_wrap=True,
        )


def best_trial(study: optuna.Study, *, origin: str | None = None, recipe: str | None = None) -> FrozenTrial | None:
    """The best complete trial, of all, of one origin or of one recipe (see `best_of`); None if there is none."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    candidates = [
        trial
        for trial in complete
        if origin in (None, trial.user_attrs.get("origin")) and recipe in (None, trial.params.get(RECIPE))
    ]
    return best_of(candidates, study.directions)


def failures(study: optuna.Study) -> list[str]:
    """Why trials that were started failed, newest last."""
    failed = study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
    return [str(trial.user_attrs.get("reason", "unknown")) for trial in failed if was_started(trial)]


def early_stopping(study: optuna.Study, measure: Measure, **parameters: Any) -> BudgetHalving:
    """The rule by which trials are stopped; it knows the study's earlier trials and does not rank published
    settings. `parameters` are further ones of `BudgetHalving`."""
    halving = BudgetHalving(measure, **parameters)
    for trial in settled_trials(study):
        if "origin" not in trial.user_attrs:
            values = ((step / THOUSANDTHS, value) for step, value in sorted(trial.intermediate_values.items()))
            halving.remember(f"settled-{trial.number}", values)
    return halving
