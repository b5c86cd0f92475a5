"""A search of one's own with its data settled, and its trials run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from bdw.config import RunConfig
from bdw.errors import InputError
from bdw.ray.trial import run_trial
from bdw.ray.trial_group import run_group
from bdw.runs.directory import git_revision
from bdw.training.checks import check
from sweeps.runner.comparison import Cell, run_comparison
from sweeps.runner.experiment import Experiment
from sweeps.runner.search import enqueue_cells, say_what_continues, say_what_is_missing
from sweeps.runner.tune_runner import Workload, run_trials
from sweeps.study.best import best_score
from sweeps.study.objective import Objective
from sweeps.study.open_study import SETTLED, open_study, requeue_unfinished, settled_trials, withdraw_waiting
from sweeps.study.revisions import other_revisions
from sweeps.study.searcher import StudySearcher, Unworkable
from sweeps.tuning.goals import MEAN_GAIN, MEAN_RANK
from sweeps.tuning.options import EXPERIMENT, Options, Request, settled
from sweeps.tuning.ranks import RankedStudies
from sweeps.tuning.samplers import Grid, make_sampler
from sweeps.tuning.schedulers import make_scheduler
from sweeps.tuning.space import FieldSpace, describe

START = "start"
"""Origin of the trial at the settings that the search starts from; it is never stopped."""
METHOD = "search"


@dataclass(frozen=True, kw_only=True)
class OwnSearch(Experiment):
    """A search of one's own: its data, space, objective, sampler and scheduler."""

    options: Options
    request: Request

    @classmethod
    def settle_request(cls, options: Options, request: Request) -> Self:
        """Load the data once and check them. Raises `InputError` for what cannot work."""
        found = Experiment.settle(EXPERIMENT, settled(options, request), request.choice)
        return cls(**vars(found), request=request)

    @property
    def space(self) -> FieldSpace:
        """The searched fields, around the config that all trials share."""
        return dataclasses.replace(self.request.space, base=self.base)

    @property
    def objective(self) -> Objective:
        """What the search optimises."""
        return self.request.goals.objective(self.request.over)

    @property
    def rank_of(self) -> RankedStudies | None:
        """How trials are ranked over targets and seeds; None where they are not."""
        if self.request.over != MEAN_RANK:
            return None
        goals = self.request.goals
        return RankedStudies(self.measure.higher_is_better, goals.goals.index(goals.chooser))

    def open_search(self) -> optuna.Study:
        """The study; raises `InputError` if the name belongs to another experiment."""
        seed = self.options.seeds[0]
        study = open_study(
            self._storage(),
            self.paths.name,
            directions=self.objective.directions,
            experiment=self.settings(),
            seed=seed,
        )
        study.sampler = make_sampler(
            self.request.sampler, seed=seed, num_trials=self.request.num_trials, ranked=self.rank_of
        )
        return study

    def settings(self) -> dict[str, Any]:
        """As for every experiment, and what makes its trials comparable with one another."""
        return {
            **super().settings(),
            "objective": str(self.request.goals),
            "over": self.request.over,
            "space": self.space.described(),
            "targets": {target: room.contents for target, room in self.rooms.items()},
            "seeds": list(self.options.seeds),
        }

    def described(self) -> dict[str, Any]:
        """As for every experiment, and the length of the search, its sampler and its scheduler."""
        request = self.request
        return {
            "trials": request.num_trials,
            "sampler": {"name": self.options.sampler.partition(":")[0], **dataclasses.asdict(request.sampler)},
            "scheduler": {"name": type(request.scheduler).__name__.lower(), **dataclasses.asdict(request.scheduler)},
            **super().described(),
        }

    def trouble(self, point: Mapping[str, Any]) -> str | None:
        """Why no run can have the settings of a point, as it stands in the study; None if one can."""
        try:
            check(self.space.config(point))
        except InputError as error:
            return str(error)
        return None

    def runs(self, config: RunConfig) -> list[Cell]:
        """The runs of a trial with these settings: a run for every target and seed."""
        found = []
        for seed in self.options.seeds:
            for target, room in self.rooms.items():
                own = config.replace(target=target, seed=seed)
                found.append(Cell(METHOD, target, seed, own, self.paths.run_name(own, METHOD, room.contents)))
        return found


def run_own_search(
    search: OwnSearch,
    study: optuna.Study,
    workload: Workload,
    console: Console,
    *,
    reference: Sequence[float] | None,
    write: Callable[[], object] = lambda: None,
    best: Callable[[], Sequence[FrozenTrial]] | None = None,
) -> None:
    """Run trials until the study has as many as were asked for; finished trials do not run again.

    `reference`: a score for each run, over which `mean_gain` is counted; None where it is not. `write` makes the tables
    and the page while trials end. `best` says which trials are the best so far (see `run_trials`).
    """
    request, space, paths = search.request, search.space, search.paths
    start, num_trials, revision = space.start(), request.num_trials, git_revision()
    kept = study.get_trials(deepcopy=False, states=(*SETTLED, TrialState.RUNNING))
    if warning := other_revisions(kept, revision):
        console.print(warning, soft_wrap=True)
    requeue_unfinished(study)
    if isinstance(request.sampler, Grid):
        points = [point for point in space.grid() if search.trouble(point) is None][:num_trials]
        _enqueue_grid(study, points)
        num_trials = len(points)
    num_new = num_trials - len(settled_trials(study))
    if start is not None and not isinstance(request.sampler, Grid):
        enqueue_cells(study, [start], origin=START, at_most=num_new)
    say_what_continues(study, withdraw_waiting(study, beyond=num_new), console)

    def propose(trial: optuna.Trial) -> dict[str, Any]:
        point = space.draw(trial)
        trouble = search.trouble(point)
        if trouble is not None:
            raise Unworkable(trouble)
        runs = search.runs(space.config(point))
        labels = {
            "run": runs[0].run,
            "runs": [cell.run for cell in runs],
            "run_dir": paths.found_at(runs[0].run),
            "title": describe(point),
            "method": METHOD,
            "domain": ", ".join(search.rooms),
            "seed": search.options.seeds[0],
            "git_revision": revision,
            **workload.labels,
            "spared": "origin" in trial.user_attrs,
        }
        plans = [dataclasses.asdict(workload.plan(paths, cell.config, cell.run)) for cell in runs]
        told = {"labels": labels, "varied": space.fields(point)}
        if len(plans) == 1:
            return {"plan": plans[0], **told}
        return {"plans": plans, "reference": None if reference is None else list(reference), **told}

    searcher = StudySearcher(study, propose, objective=search.objective, num_new=num_new)
    run_trials(
        "search",
        searcher,
        workload,
        paths,
        measure=search.measure,
        console=console,
        best_so_far=best_score(settled_trials(study), search.measure),
        scheduler=make_scheduler(request.scheduler, search.measure, study, request.over),
        trainable=run_trial if request.over is None else run_group,
        write=write,
        best=best,
    )
    say_what_is_missing(searcher, console)


def reference_scores(
    search: OwnSearch, comparison: optuna.Study, workload: Workload, console: Console
) -> list[float] | None:
    """The scores of the settings that the search starts from, for every run; trains what the study lacks.

    None unless gains are counted. Raises `InputError` if one of these runs fails.
    """
    if search.request.over != MEAN_GAIN:
        return None
    wanted = search.runs(search.base)
    run_comparison(comparison, wanted, workload=workload, paths=search.paths, console=console)
    complete = comparison.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    scores = {trial.user_attrs["run"]: float(trial.values[0]) for trial in complete}
    missing = [cell for cell in wanted if cell.run not in scores]
    if missing:
        raise InputError(
            f"over: mean_gain needs the scores of the settings that the search starts from, and {len(missing)} of "
            f"{len(wanted)} of these runs are not complete, that on {missing[0].domain!r} with seed {missing[0].seed} "
            "among them"
        )
    return [scores[cell.run] for cell in wanted]


def _enqueue_grid(study: optuna.Study, points: Sequence[dict[str, Any]]) -> None:
    """Queue the points that neither wait, run nor are finished; one that failed is tried again."""
    states = (TrialState.WAITING, TrialState.RUNNING, *SETTLED)
    there = [trial.system_attrs.get("fixed_params") for trial in study.get_trials(deepcopy=False, states=states)]
    for point in points:
        if point not in there:
            study.enqueue_trial(point)
