#!/usr/bin/env python
"""The paper's Table 1: which source images help an auto-encoder of MNIST, Fashion-MNIST or KMNIST, out of all three?

    python sweeps/mnist_autoencoders.py --data-root DIR --seeds 0 1 2      the paper's settings: some hours on two cores
    python sweeps/mnist_autoencoders.py --data-root DIR --smoke            only see that everything works

DIR holds mnist, fashion-mnist and kmnist as NAME-train.npz and NAME-test.npz. All methods are compared on every target
with every seed; nothing is searched. It leaves the table next to the paper's numbers, Figure 1a and 1b, and a report.
The same command with the same name continues a sweep that was stopped.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

# `ray job submit` runs this file with its own folder first on the path.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bdw.errors import unknown_option
from sweeps.runner import command_line
from sweeps.runner.datasets import DataChoice, Scale, require_data_root
from sweeps.runner.methods import Method, chosen, selecting
from sweeps.runner.options import SweepOptions

if TYPE_CHECKING:
    from rich.console import Console

    from sweeps.results.table_1 import Results
    from sweeps.runner.comparison import Cell
    from sweeps.runner.experiment import Experiment

EXPERIMENT = "mnist_autoencoders"
DATA = DataChoice(
    name=EXPERIMENT,
    preset="mnist_autoencoders",
    targets=("mnist", "fashion-mnist", "kmnist"),
    data_root_holds="mnist, fashion-mnist and kmnist as NAME-train.npz and NAME-test.npz",
    scale=Scale(),
    smoke=Scale(epochs=2, max_source=512),
    remark="The domains are few and share one source: ranks sum up this table and say little about other domains.",
)
_ALL = (
    Method("Oracle", {"weighter": "oracle"}),
    Method("VAE", {"weighter": "uniform"}),
    Method("DW", {"weighter": "point"}),
    Method("BDW", {"weighter": "beta"}),
    Method("L2RW", {"weighter": "l2rw"}),
    Method("NN-Weighter", {"weighter": "nearest-neighbour"}),
)
METHODS = {method.name: method for method in _ALL}
KNOWN = {**METHODS, **selecting()}
PAPERS = ("Oracle", "VAE", "DW", "BDW")


@dataclass(frozen=True, kw_only=True)
class Options(SweepOptions):
    """Compare ways to weight source images in the training of auto-encoders."""

    methods: tuple[str, ...] = PAPERS
    """Methods among Oracle, VAE, DW, BDW, L2RW and NN-Weighter, also with settings of weighting and by a name of your
    own, as in 'BDW eta=100' or 'Bold: BDW eta=100'. Default: those of the paper's table."""

    def check(self) -> None:
        """Raise `InputError` for values that cannot work."""
        chosen(self.methods, KNOWN)
        for target in self.targets:
            if target not in DATA.targets:
                raise unknown_option("targets", target, DATA.targets)
        require_data_root(DATA, self.data_root)
        super().check()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the comparison to its end; raises `InputError` for what cannot work."""
    options = command_line.parse(Options, arguments, prog=EXPERIMENT)
    options.check()
    # Takes seconds to import, so that what cannot work has been told.
    from rich.console import Console

    from sweeps.results.compare_and_report import compare_and_report
    from sweeps.runner.comparison import cells
    from sweeps.runner.experiment import Experiment

    experiment = Experiment.settle(EXPERIMENT, options, DATA)
    methods = chosen(options.methods, KNOWN)
    console = Console()
    compare_and_report(
        experiment,
        cells(methods, experiment.base, experiment.rooms, experiment.options.seeds, experiment.paths),
        title="Auto-encoders on mixed MNIST, Fashion-MNIST and KMNIST",
        draw=lambda results, complete: draw(experiment, results, complete, console),
        console=console,
    )


def draw(experiment: Experiment, results: Results, complete: Sequence[Cell], console: Console) -> None:
    """Table 1, and Figure 1 of the first complete BDW run of every target."""
    from sweeps.results import table_1

    folder = experiment.paths.path
    remarks = table_1.differences_in_words(experiment.base, experiment.rooms)
    said = [*remarks, *table_1.write_table(results, folder, remarks)]
    for line in said:
        console.print(line, soft_wrap=True)
    first: dict[str, Cell] = {}
    for cell in complete:
        if cell.method == "BDW":
            first.setdefault(cell.domain, cell)
    runs = {domain: experiment.paths.fetch_run(cell.run) for domain, cell in first.items()}
    table_1.write_figures(folder, said, table_1.draw_weights(runs, folder))


if __name__ == "__main__":
    sys.exit(command_line.run(main, prog=EXPERIMENT))
