#!/usr/bin/env python
"""The paper's Table 3 as a search: how hard may BetaDataWeighter prune, and is it worth its price?

    python sweeps/stl10_pruning.py                                            embedded digits, minutes on two cores
    python sweeps/stl10_pruning.py --data stl10 --data-root DIR --gpus-per-trial 1       the paper's experiment
    python sweeps/stl10_pruning.py --data tiny-imagenet --data-root DIR --targets cifar10     real pictures
    ray job submit -- sweeps/stl10_pruning.py --smoke                  on a cluster started in the repository's root

First the paper's eight cells (eta x rho x lambda), then Optuna's proposals over these, the meta-loss and the design of
the meta-batch, with early stopping. Then the chosen settings against plain rotation training (RotNet) on every target
domain. The same command with the same name continues a sweep that was stopped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# `ray job submit` runs this file with its own folder first on the path.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import optuna
from rich.console import Console

from bdw.atomic import write_text
from bdw.errors import InputError
from bdw.ray.cluster import running_ray
from sweeps import command_line, datasets
from sweeps.comparison import cells, run_comparison
from sweeps.experiment import SearchExperiment
from sweeps.methods import Method
from sweeps.options import SearchOptions
from sweeps.search import PAPER, best_trial, run_search
from sweeps.segment import Workload
from sweeps.space import fields_of
from sweeps.wrap_up import require_complete_trial, wrap_up

EXPERIMENT = "stl10_pruning"
ROTNET = "RotNet"


@dataclass(frozen=True, kw_only=True)
class Options(SearchOptions):
    """Search BetaDataWeighter's pruning settings and compare the best of them with plain training."""

    data: str = "digits"
    """digits (embedded), stl10 (the paper's) or tiny-imagenet (.npz files)."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the sweep to its end; raises `InputError` for what cannot work."""
    options = command_line.parse(Options, arguments, prog=EXPERIMENT)
    experiment = SearchExperiment.settle(EXPERIMENT, options, datasets.choose(options.data))
    places = experiment.places
    title = f"Pruning sweep on {options.data}"
    console = Console()
    with experiment.only_driver(console.print):
        study, comparison = experiment.open_search(), experiment.open_comparison()
        write_text(places.path / "config.json", json.dumps(experiment.described(), indent=2) + "\n")
        console.print(f"sweep {places.name} in {places.path}: starting Ray", soft_wrap=True)
        with running_ray(worker_groups=options.num_workers > 1) as cluster:
            workload = Workload.on(cluster, options)
            run_search(experiment, study, workload, console)
            try:
                require_complete_trial(experiment, study, title=title)
            finally:
                places.publish()
            methods = chosen_methods(study, console)
            wanted = cells(methods, experiment.base, experiment.rooms, options.seeds, places)
            run_comparison(comparison, wanted, workload=workload, places=places, console=console)
        report = wrap_up(experiment, study, comparison, wanted, baseline=ROTNET, title=title, console=console)
        places.publish()
    console.print(f"report: {report}", soft_wrap=True)


def chosen_methods(study: optuna.Study, console: Console) -> list[Method]:
    """RotNet, the best of the paper's cells, the same with the pretext meta-loss, and the best trial of all.

    The choice is made by validation accuracy on the first target.
    """
    best, paper = best_trial(study), best_trial(study, origin=PAPER)
    if best is None:
        raise InputError("search: no trial completed, so that there is no method to compare")
    methods = [Method(ROTNET, {"weighter": "uniform"})]
    if paper is not None:
        methods.append(Method("BDW (paper's cell)", fields_of(paper.params)))
        methods.append(Method("BDW (pretext meta-loss)", fields_of({**paper.params, "meta_loss": "pretext"})))
    if paper is None or best.number != paper.number:
        methods.append(Method("BDW (best found)", fields_of(best.params)))
    else:
        console.print("BDW (best found) is one of the paper's cells: not compared a second time", soft_wrap=True)
    return methods


if __name__ == "__main__":
    sys.exit(command_line.run(main, prog=EXPERIMENT))
