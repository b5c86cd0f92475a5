"""The first stage: which settings suit the search's target? Published settings first, then what Optuna proposes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from bdw.evaluation import Measure
from bdw.runs.directory import git_revision
from sweeps.results.tables import DUPLICATE_OF
from sweeps.runner.experiment import SearchExperiment
from sweeps.runner.space import PAPER, RECIPE, RECOMMENDED, describe, fields_of
from sweeps.runner.tune_runner import Workload, run_segment
from sweeps.study.early_stopping import BudgetHalving
from sweeps.study.open_study import SETTLED, requeue_unfinished, settled_trials
from sweeps.study.searcher import THOUSANDTHS, StudySearcher

METHOD = "BDW"


def run_search(experiment: SearchExperiment, study: optuna.Study, workload: Workload, console: Console) -> None:
    """Run trials until the study has the experiment's number of them; finished trials do not run again."""
    base, paths = experiment.base, experiment.paths
    continued = requeue_unfinished(study)
    if continued:
        console.print(f"continuing {continued} trials from their last checkpoints")
    enqueue_cells(study, experiment.space.recommended_points(), origin=RECOMMENDED)
    enqueue_cells(study, experiment.space.paper_cells(), origin=PAPER)
    revision = git_revision()

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
        return {"plan": dataclasses.asdict(workload.plan(paths, config, run)), "labels": labels}

    searcher = StudySearcher(
        study,
        propose,
        objective=experiment.objective,
        num_new=experiment.num_trials - len(settled_trials(study)),
    )
    run_segment(
        "search",
        searcher,
        workload,
        paths,
        measure=experiment.measure,
        console=console,
        scheduler=early_stopping(study, experiment.measure) if experiment.stops_early else None,
    )


def enqueue_cells(study: optuna.Study, cells: Iterable[Mapping[str, Any]], *, origin: str) -> None:
    """Queue the published settings that neither wait, run nor are finished; `origin` says who published them.

    A cell that failed is tried once more each time the sweep is started.
    """
    states = (TrialState.WAITING, TrialState.RUNNING, *SETTLED)
    there = [trial.system_attrs.get("fixed_params") for trial in study.get_trials(deepcopy=False, states=states)]
    for cell in cells:
        if cell not in there:
            study.enqueue_trial(dict(cell), user_attrs={"origin": origin})


def best_trial(study: optuna.Study, *, origin: str | None = None, recipe: str | None = None) -> FrozenTrial | None:
    """The complete trial of the best score, of all, of one origin or of one recipe; None if there is none.

    A validation split is small, so that trials often tie. Ties go to the trial that saw the fewest images, then to the
    lowest number. The report chooses by the same rule (`bdw.report.trials_table.ranked`).
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    candidates = [
        trial
        for trial in complete
        if origin in (None, trial.user_attrs.get("origin")) and recipe in (None, trial.params.get(RECIPE))
    ]
    sign = 1 if study.directions[0] == StudyDirection.MAXIMIZE else -1
    return max(
        candidates,
        key=lambda t: (sign * t.values[0], -t.user_attrs.get("instances_seen", math.inf), -t.number),
        default=None,
    )


def failures(study: optuna.Study) -> list[str]:
    """Why trials that were started failed, newest last."""
    failed = study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
    return [str(trial.user_attrs.get("reason", "unknown")) for trial in failed if DUPLICATE_OF not in trial.user_attrs]


def early_stopping(study: optuna.Study, measure: Measure) -> BudgetHalving:
    """The rule by which trials are stopped; it knows the study's earlier trials and does not rank published
    settings."""
    halving = BudgetHalving(measure)
    for trial in settled_trials(study):
        if "origin" not in trial.user_attrs:
            values = ((step / THOUSANDTHS, value) for step, value in sorted(trial.intermediate_values.items()))
            halving.remember(f"settled-{trial.number}", values)
    return halving
