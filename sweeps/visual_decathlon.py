#!/usr/bin/env python
"""The paper's Table 2: which way to weight one source's images serves ten target domains best?

    python sweeps/visual_decathlon.py --data-root DIR --gpus-per-trial 1     the challenge in the paper's settings
    python sweeps/visual_decathlon.py --data DIR --seeds 0 1                 the mini-decathlon: hours on two cores
    python sweeps/visual_decathlon.py --data DIR --one-run                   one valuation for all targets, too
    python sweeps/visual_decathlon.py --data DIR --smoke                     only see that everything works

--data-root holds decathlon-1.0 as the challenge unpacks, and STL-10. --data holds the mini-decathlon's .npz files: Tiny
ImageNet as the source and ten small labelled sets. All methods are compared on every target with every seed, nothing is
searched; --fine-tuning-epochs adds the fine-tuned half of the table. --one-run compares, at equal total cost, one run
of plain training that values the pool for all targets at once with one run a target. It leaves the table with average
ranks, a critical-difference diagram for each measure, and a report. The same command with the same name continues a
sweep that was stopped.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

# `ray job submit` runs this file with its own folder first on the path.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bdw.config import presets
from bdw.errors import InputError
from sweeps.runner import command_line, decathlons
from sweeps.runner.methods import Method, chosen, selecting
from sweeps.runner.options import SweepOptions, require_at_least, require_each_once

if TYPE_CHECKING:
    import optuna
    from rich.console import Console

    from sweeps.results.table_2 import Results
    from sweeps.runner.comparison import Cell
    from sweeps.runner.experiment import Experiment

EXPERIMENT = "visual_decathlon"
_ALL = (
    Method("RotNet", {"weighter": "uniform"}),
    Method("NN-Weighter", {"weighter": "nearest-neighbour"}),
    Method("L2RW", {"weighter": "l2rw"}),
    Method("BDW", {"weighter": "beta"}),
    Method("DW", {"weighter": "point"}),
)
METHODS = {method.name: method for method in _ALL}
KNOWN = {**METHODS, **selecting()}
"""What may be compared; a selector needs a size and what it compares images by."""
ONE_A_TARGET = Method("one run a target", presets.weighting(presets.RECOMMENDED))
KEPT_BY_ONE = "kept by one run"
EQUAL_COST = (
    "Equal total cost: the images of the one run that values the pool for all targets, divided by their number, are "
    f"taken off the budget of every run of {KEPT_BY_ONE!r}. Of a target of which the others use a part, that run looks "
    "at all training images."
)


@dataclass(frozen=True, kw_only=True)
class Options(SweepOptions):
    """Compare ways to weight source images over the domains of a decathlon."""

    data: str | None = None
    """Folder of the mini-decathlon's .npz files. Default: the challenge itself, under --data-root."""
    methods: tuple[str, ...] = tuple(METHODS)
    """Methods among RotNet, NN-Weighter, L2RW, BDW and DW, also with settings of weighting and by a name of your own,
    as in 'BDW eta=100' or 'Bold: BDW eta=100'; also plain training on what a selector chose, as in
    'simcore selected_share=0.2 selector.features=run:runs/mine'. Default: these five."""
    fine_tuning_epochs: int | None = None
    """Also fine-tune the best encoder of every run, for this number of epochs in each cell of the paper's grid (paper:
    100); minutes to hours a run. Default: logistic regression alone."""

    one_run: bool = False
    """Also value the pool for all targets by one run of plain training, and train plainly on what it keeps for each of
    them ('kept by one run'), beside a run of the recommended recipe for each target ('one run a target'), at equal
    total cost. All methods then have the same budget of images, and the learning rate falls along a cosine over it."""

    def check(self) -> None:
        """Raise `InputError` for values that cannot work."""
        folder = self.data_root if self.data is None else self.data
        SweepOptions.check(dataclasses.replace(self, data_root=folder))
        chosen(self.methods, KNOWN)
        require_at_least("fine_tuning_epochs", self.fine_tuning_epochs, 1)
        if self.one_run:
            require_each_once("methods", [method.name for method in self.compared] + [KEPT_BY_ONE])
            self._check_one_run()
        decathlons.choose(self.data, self.data_root)

    def _check_one_run(self) -> None:
        if len(self.targets) == 1:
            raise InputError(
                f"one_run: cannot work with the one target {self.targets[0]!r}; allowed: two targets or more"
            )
        if self.epochs == 1:  # What the valuation leaves of it may be less than a batch.
            raise InputError("epochs: 1 cannot work with one_run; allowed: 2 or more")
        if self.storage_path is not None and "://" in self.storage_path:
            raise InputError(
                f"one_run: cannot work with storage_path {self.storage_path!r}; allowed: a folder that all machines see"
            )

    @property
    def compared(self) -> list[Method]:
        """The methods of one run each; with `one_run` also that which its second stage stands beside."""
        return [*chosen(self.methods, KNOWN), *([ONE_A_TARGET] if self.one_run else [])]

    @property
    def places(self) -> dict[str, str]:
        """As for every sweep, and the folder of the mini-decathlon."""
        return {**super().places, **({} if self.data is None else {"data": self.data})}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the comparison to its end; raises `InputError` for what cannot work."""
    options = command_line.parse(Options, arguments, prog=EXPERIMENT)
    options.check()
    # Takes seconds to import, so that what cannot work has been told.
    from rich.console import Console

    from sweeps.results.compare_and_report import compare_and_report
    from sweeps.runner import one_run
    from sweeps.runner.comparison import cells

    experiment = settle(options)
    fields, seeds = experiment.choice.domain_fields, experiment.options.seeds
    base, rooms, paths = experiment.base, experiment.rooms, experiment.paths
    wanted = cells(options.compared, base, rooms, seeds, paths, domain_fields=fields)
    valuations = one_run.valuation_cells(ONE_A_TARGET, base, rooms, seeds, paths) if options.one_run else []
    console = Console()
    later: list[Cell] = []
    cost: list[str] = []

    def follow(study: optuna.Study) -> list[Cell]:
        kept = one_run.kept_cells(
            KEPT_BY_ONE, ONE_A_TARGET, study, valuations, base, rooms, paths, domain_fields=fields
        )
        later.extend(kept)
        said = one_run.cost_in_words(KEPT_BY_ONE, ONE_A_TARGET, study, valuations, kept)
        cost.extend(filter(None, [said]))
        missing = len(valuations) - len({cell.seed for cell in kept})
        if missing:
            console.print(
                f"{KEPT_BY_ONE}: {missing} of {len(valuations)} valuations are not complete; why stands in "
                f"{paths.path / 'trials.csv'}",
                soft_wrap=True,
            )
        return kept

    compare_and_report(
        experiment,
        wanted,
        title=f"Table 2 on {len(experiment.rooms)} target domains ({experiment.choice.name})",
        draw=lambda results, _complete: draw(experiment, results, [*wanted, *later], console, remarks=cost),
        console=console,
        beside=valuations,
        follow=follow,
    )


def settle(options: Options) -> Experiment:
    """The experiment; raises `InputError` that lists everything that is missing of the data."""
    options.check()
    choice, data_root = decathlons.choose(options.data, options.data_root)
    decathlons.require_data(choice, data_root, options.targets)
    if options.one_run:
        choice = decathlons.at_equal_budget(choice, EQUAL_COST)
    from sweeps.results import table_2
    from sweeps.runner.experiment import Experiment

    experiment = Experiment.settle(EXPERIMENT, dataclasses.replace(options, data=None, data_root=data_root), choice)
    if options.fine_tuning_epochs is None:
        return experiment
    fine_tuned = {"final_measures": [table_2.FINE_TUNED], "fine_tuning_epochs": options.fine_tuning_epochs}
    return dataclasses.replace(experiment, base=experiment.base.replace(**fine_tuned))


def draw(
    experiment: Experiment, results: Results, wanted: Sequence[Cell], console: Console, *, remarks: Sequence[str] = ()
) -> None:
    """Table 2 with these remarks, and the diagram of fine-tuning; the diagram of logistic regression exists already."""
    from bdw import evaluation
    from sweeps.results import table_2
    from sweeps.results.finish import score_table

    choice, folder = experiment.choice, experiment.paths.path
    designs = table_2.designs_in_words(experiment.base, choice.domain_fields, wanted)
    for remark in (designs, *remarks):
        console.print(remark, soft_wrap=True, highlight=False)
    table_2.write_tables(results, folder, [*filter(None, [choice.remark]), designs, *remarks])
    if experiment.base.evaluation.final_measures:
        missing = table_2.draw_fine_tuned(results, folder, remark=choice.remark)
        console.print(score_table(results, wanted, evaluation.measure(table_2.FINE_TUNED)))
        if missing is not None:
            console.print(f"left out: {missing}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(command_line.run(main, prog=EXPERIMENT))
