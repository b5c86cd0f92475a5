"""A sweep without a search, from its cells to its page: the common part of the entries that only compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import optuna
import pandas as pd
from rich.console import Console

from sweeps.results.finish import finish_comparison, write_so_far
from sweeps.runner.comparison import Cell, run_comparison
from sweeps.runner.experiment import Experiment
from sweeps.runner.on_ray import on_ray
from sweeps.study.tables import trial_rows


def compare_and_report(
    experiment: Experiment,
    wanted: Sequence[Cell],
    *,
    title: str,
    draw: Callable[[pd.DataFrame, Sequence[Cell]], None],
    ranked: bool = True,
    console: Console,
    beside: Sequence[Cell] = (),
    follow: Callable[[optuna.Study], Sequence[Cell]] = lambda _: (),
) -> None:
    """Run the cells that the study lacks, write everything and say where the report is.

    For `draw` and `ranked` see `finish_comparison`. `beside`: cells that are run and not compared. `follow`: cells of a
    second stage, from the study that has the first one's; they are run when it is over, and compared. Raises
    `InputError` for what cannot work, and if no run is complete.
    """
    paths = experiment.paths
    with experiment.only_driver(console.print):
        comparison = experiment.open_comparison()
        with on_ray(experiment, console) as workload:

            def run(cells: Sequence[Cell]) -> None:
                run_comparison(
                    comparison,
                    cells,
                    workload=workload,
                    paths=paths,
                    console=console,
                    write=lambda: write_so_far(
                        paths.path, trial_rows(comparison, experiment.measure.name), title=title
                    ),
                )

            run([*beside, *wanted])
            later = follow(comparison)
            run(later)
            wanted = [*wanted, *later]
        report = finish_comparison(
            experiment, comparison, wanted, title=title, draw=draw, ranked=ranked, console=console
        )
        paths.publish(at_end=True)
    console.print(f"report: {report}", soft_wrap=True)
