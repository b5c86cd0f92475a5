"""A sweep that searches first: from the search over the methods that are then compared to the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import optuna
from rich.console import Console

from bdw.errors import InputError
from sweeps.results.finish import finish_search, require_complete_trial, search_rows, write_so_far
from sweeps.runner.comparison import Cell, cells, kept_shares, run_comparison
from sweeps.runner.episode_designs import Room
from sweeps.runner.experiment import SearchExperiment
from sweeps.runner.methods import Method
from sweeps.runner.on_ray import on_ray
from sweeps.runner.search import best_trial, run_search
from sweeps.runner.space import PAPER, RECOMMENDED, fields_of

PLAIN = Method("plain training", {"weighter": "uniform"})
RANDOM = "random subset"
CONTROLS = {
    "nearest-neighbour": Method("nearest neighbours", {"weighter": "nearest-neighbour"}),
    "oracle": Method("oracle", {"weighter": "oracle"}),
}
PAPERS_CELL = "BDW, paper's cell"
FOUND = {RECOMMENDED: "BDW, recommended", PAPER: "BDW, best found"}
"""Recipe -> the name of its best settings in the comparison."""


def search_and_compare(experiment: SearchExperiment, *, title: str) -> None:
    """Run the trials that the studies lack, write everything and say where the report is.

    Raises `InputError` for what cannot work, and if no trial is complete.
    """
    paths = experiment.paths
    console = Console()
    with experiment.only_driver(console.print):
        study, comparison = experiment.open_search(), experiment.open_comparison()
        with on_ray(experiment, console) as workload:
            run_search(
                experiment,
                study,
                workload,
                console,
                write=lambda: write_so_far(paths.path, search_rows(experiment, study), title=title),
            )
            try:
                require_complete_trial(experiment, study, title=title)
            finally:
                paths.publish()
            seeds = experiment.options.seeds
            wanted = _cells(experiment, chosen_methods(study, experiment, console), experiment.rooms, seeds)
            search_room = {experiment.base.data.target: experiment.search_room}
            baseline = _cells(experiment, [PLAIN], search_room, seeds)
            run_comparison(comparison, [*wanted, *baseline], workload=workload, paths=paths, console=console)
            if "random" in experiment.choice.controls:
                subsets = random_subsets(wanted, kept_shares(comparison, wanted), experiment)
                run_comparison(comparison, subsets, workload=workload, paths=paths, console=console)
                wanted = [*wanted, *subsets]
        report = finish_search(
            experiment,
            study,
            comparison,
            wanted,
            baseline=PLAIN.name,
            subject=_subject(wanted),
            title=title,
            console=console,
        )
        paths.publish(at_end=True)
    console.print(f"report: {report}", soft_wrap=True)


def chosen_methods(study: optuna.Study, experiment: SearchExperiment, console: Console) -> list[Method]:
    """Plain training, the controls, the best of the paper's cells, and the best settings of the recommended recipe.

    If that recipe is not searched, or none of its trials is complete, the best settings of the paper's method take its
    place. Validation accuracy on the search's target decides.

    Raises `InputError` if no trial is complete.
    """
    paper = best_trial(study, origin=PAPER)
    controls = [CONTROLS[name] for name in experiment.choice.controls if name in CONTROLS]
    methods = [PLAIN, *(control for control in controls if control.name != "oracle")]
    if paper is not None:
        methods.append(Method(PAPERS_CELL, fields_of(paper.params)))
    recommended = RECOMMENDED in experiment.space.recipes
    recipe, best = RECOMMENDED, best_trial(study, recipe=RECOMMENDED) if recommended else None
    if best is None:
        recipe, best = PAPER, best_trial(study)
        if recommended:
            console.print("no trial of the recommended recipe is complete: compared without it", soft_wrap=True)
    if best is None:
        raise InputError("search: no trial completed, so that there is no method to compare")
    if paper is not None and best.number == paper.number:
        console.print(f"{FOUND[recipe]} is one of the paper's cells: not compared a second time", soft_wrap=True)
    else:
        methods.append(Method(FOUND[recipe], fields_of(best.params)))
    return [*methods, *(control for control in controls if control.name == "oracle")]


def random_subsets(
    wanted: Sequence[Cell], shares: dict[tuple[str, str, int], float], experiment: SearchExperiment
) -> list[Cell]:
    """For every run of the recommended recipe, plain training on as many images drawn at random.

    `shares`: (method, domain, seed) -> share that the run kept; runs that are not complete have none.
    """
    found = []
    for cell in wanted:
        share = shares.get((cell.method, cell.domain, cell.seed))
        if cell.method == FOUND[RECOMMENDED] and share is not None:
            method = Method(RANDOM, {"weighter": "random", "kept_share": round(share, 4)})
            found += _cells(experiment, [method], {cell.domain: experiment.rooms[cell.domain]}, [cell.seed])
    return found


def _cells(
    experiment: SearchExperiment, methods: Sequence[Method], rooms: Mapping[str, Room], seeds: Sequence[int]
) -> list[Cell]:
    fields = experiment.choice.domain_fields
    return cells(methods, experiment.base, rooms, seeds, experiment.paths, domain_fields=fields)


def _subject(wanted: Sequence[Cell]) -> str | None:
    """The method that the report's verdict is about: the recommended recipe where it was compared."""
    names = {cell.method for cell in wanted}
    return next((name for name in FOUND.values() if name in names), None)
