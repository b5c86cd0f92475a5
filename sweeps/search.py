"""The first stage: which settings suit the first target? The paper's cells, then what Optuna proposes."""

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
from bdw.run_directory import git_revision
from sweeps.early_stopping import EpochHalving
from sweeps.experiment import SearchExperiment
from sweeps.optuna_search import StudySearcher
from sweeps.results import DUPLICATE_OF
from sweeps.segment import Workload, run_segment
from sweeps.space import describe, fields_of
from sweeps.study import SETTLED, requeue_unfinished, settled_trials

METHOD = "BDW"
PAPER = "paper"


def run_search(experiment: SearchExperiment, study: optuna.Study, workload: Workload, console: Console) -> None:
    """Bring the study to the experiment's number of settled trials; what is settled already does not run again."""
    base, places = experiment.base, experiment.places
    continued = requeue_unfinished(study)
    if continued:
        console.print(f"continuing {continued} trials from their last checkpoints")
    enqueue_cells(study, experiment.space.paper_cells())
    revision = git_revision()

    def propose(trial: optuna.Trial) -> dict[str, Any]:
        parameters = experiment.space.draw(trial)
        config = base.replace(**fields_of(parameters))
        run = places.run_name(config, METHOD, experiment.rooms[config.data.target].contents)
        labels = {
            "run": run,
            "run_dir": places.found_at(run),
            "title": describe(parameters),
            "method": METHOD,
            "domain": config.data.target,
            "seed": config.optimiser.seed,
            "git_revision": revision,
            **workload.labels,
            "spared": trial.user_attrs.get("origin") == PAPER,  # The published grid is to be complete.
        }
        return {"plan": dataclasses.asdict(workload.plan(places, config, run)), "labels": labels}

    last_epoch = base.optimiser.epochs
    searcher = StudySearcher(
        study,
        propose,
        objective=experiment.objective,
        last_epoch=last_epoch,
        num_new=experiment.num_trials - len(settled_trials(study)),
    )
    run_segment(
        "search",
        searcher,
        workload,
        places,
        measure=experiment.measure,
        last_epoch=last_epoch,
        console=console,
        scheduler=_early_stopping(study, last_epoch, experiment.measure) if experiment.stops_early else None,
    )


def enqueue_cells(study: optuna.Study, cells: Iterable[Mapping[str, Any]]) -> None:
    """Queue those of the paper's cells that neither wait, run nor are settled.

    A cell that failed is tried once more every time that the sweep is started, and not more often.
    """
    states = (TrialState.WAITING, TrialState.RUNNING, *SETTLED)
    there = [trial.system_attrs.get("fixed_params") for trial in study.get_trials(deepcopy=False, states=states)]
    for cell in cells:
        if cell not in there:
            study.enqueue_trial(dict(cell), user_attrs={"origin": PAPER})


def best_trial(study: optuna.Study, *, origin: str | None = None) -> FrozenTrial | None:
    """The complete trial of the best score, of all or of one origin; None if there is none.

    A validation split is small, so that trials often tie: then the one that saw the fewest images, then the one of the
    lowest number. The report chooses by the same rule (`bdw.report.trials_table.ranked`).
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    candidates = [trial for trial in complete if origin in (None, trial.user_attrs.get("origin"))]
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


def _early_stopping(study: optuna.Study, last_epoch: int, measure: Measure) -> EpochHalving:
    halving = EpochHalving(last_epoch, measure)
    for trial in settled_trials(study):
        halving.remember(f"settled-{trial.number}", trial.intermediate_values.items())
    return halving
