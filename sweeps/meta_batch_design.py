#!/usr/bin/env python
"""What may a meta-batch cost? K ways x N shots x Q queries x meta-update interval: accuracy against cost.

    python sweeps/meta_batch_design.py                                          embedded digits, minutes on two cores
    python sweeps/meta_batch_design.py --ways 5 10 --shots 5 --queries 5 --intervals 1 2 4 8 16          another grid
    python sweeps/meta_batch_design.py --data tiny-imagenet --data-root DIR --gpus-per-trial 0.25       real pictures

Every design for which the target has enough images runs with every interval and every seed. Plain rotation training
(RotNet), which draws no meta-batches, runs beside them; nothing is searched. The sweep leaves a table, a picture of
accuracy against seconds and target images with the Pareto front, and a report. The same command with the same name
continues a sweep that was stopped; with longer lists it runs only what is new.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

# `ray job submit` runs this file with its own folder first on the path.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bdw.errors import InputError
from sweeps.runner import command_line, datasets
from sweeps.runner.episode_designs import Design, Room
from sweeps.runner.methods import Method
from sweeps.runner.options import SweepOptions, require_at_least, require_each_once

if TYPE_CHECKING:
    from rich.console import Console

    from sweeps.runner.comparison import Cell
    from sweeps.runner.experiment import Experiment

EXPERIMENT = "meta_batch_design"
ROTNET = Method("RotNet", {"weighter": "uniform"})


@dataclass(frozen=True, kw_only=True)
class Options(SweepOptions):
    """Compare designs of the meta-batch and intervals between meta-updates, by accuracy and by cost."""

    data: str = "digits"
    """digits (embedded), stl10 (the paper's) or tiny-imagenet (.npz files). Only its first target, unless --targets
    names others."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Every design runs with each of them."""
    ways: tuple[int, ...] = ()
    """K: classes in an episode. Default: 5 10."""
    shots: tuple[int, ...] = ()
    """N: images per class that make the prototype. Default: 1 5 10; with --smoke 1."""
    queries: tuple[int, ...] = ()
    """Q: images per class that are classified. Default: 5 10; with --smoke 5."""
    intervals: tuple[int, ...] = ()
    """Steps from one meta-update to the next. Default: 1 4 16; with --smoke 1 4."""

    def check(self) -> None:
        """Raise `InputError` for values that cannot work."""
        for name, least in (("ways", 2), ("shots", 1), ("queries", 1), ("intervals", 1)):
            values = getattr(self, name)
            require_each_once(name, values)
            for value in values:
                require_at_least(name, value, least)
        datasets.require_data_root(datasets.choose(self.data), self.data_root)
        super().check()

    @property
    def designs(self) -> list[Design]:
        """All combinations of ways, shots and queries."""
        ways = self.ways or (5, 10)
        shots = self.shots or ((1,) if self.smoke else (1, 5, 10))
        queries = self.queries or ((5,) if self.smoke else (5, 10))
        return [Design(*sizes) for sizes in itertools.product(ways, shots, queries)]

    @property
    def meta_every(self) -> tuple[int, ...]:
        """The intervals."""
        return self.intervals or ((1, 4) if self.smoke else (1, 4, 16))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the grid to its end; raises `InputError` for what cannot work."""
    options = command_line.parse(Options, arguments, prog=EXPERIMENT)
    options.check()
    # Takes seconds to import, so that what cannot work has been told.
    from rich.console import Console

    from sweeps.results import design_table
    from sweeps.results.compare_and_report import compare_and_report
    from sweeps.runner.experiment import Experiment

    choice = datasets.choose(options.data)
    experiment = Experiment.settle(EXPERIMENT, options, dataclasses.replace(choice, targets=choice.targets[:1]))
    console = Console()
    compare_and_report(
        experiment,
        grid(experiment, options, console),
        title=f"Designs of the meta-batch on {options.data}",
        draw=lambda _results, complete: design_table.write(experiment, complete, baseline=ROTNET.name, console=console),
        ranked=False,  # Designs are compared by what they cost, on each target by itself.
        console=console,
    )


def grid(experiment: Experiment, options: Options, console: Console) -> list[Cell]:
    """The cells, seed by seed; says which designs do not fit a target.

    Raises `InputError` if no design fits a target.
    """
    from sweeps.runner.comparison import cells

    methods = {}
    for target, room in experiment.rooms.items():
        fitting = [design for design in options.designs if room.fits(design)]
        left_out = [str(design) for design in options.designs if design not in fitting]
        if not fitting:
            raise InputError(f"ways, shots, queries: no design fits; allowed: {_limits(target, room)}")
        if left_out:
            console.print(f"left out: {', '.join(left_out)}; {_limits(target, room)}", soft_wrap=True)
        methods[target] = [ROTNET, *(method(*point) for point in itertools.product(fitting, options.meta_every))]
    return [
        cell
        for seed in experiment.options.seeds
        for target, room in experiment.rooms.items()
        for cell in cells(methods[target], experiment.base, {target: room}, (seed,), experiment.paths)
    ]


def method(design: Design, meta_every: int) -> Method:
    """BetaDataWeighter with these meta-batches, one every `meta_every` steps."""
    interval = "" if meta_every == 1 else f" every {meta_every}"
    name = f"K{design.ways} N{design.shots} Q{design.queries}{interval}"
    return Method(name, {"weighter": "beta", **design.fields, "meta_every": meta_every})


def _limits(target: str, room: Room) -> str:
    return f"{target!r} has room for {room.num_classes} ways, and for {room.smallest_class} shots and queries together"


if __name__ == "__main__":
    sys.exit(command_line.run(main, prog=EXPERIMENT))
