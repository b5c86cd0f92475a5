"""A search over a fixed grid on the digits: nothing is drawn, so that its results do not depend on when it was killed.

`python -m benchmarks.grid_sweep --storage-path DIR --name NAME` is what `benchmarks.kill_sweep` starts, kills and
starts again; everything but the grid is the machinery of `sweeps/stl10_pruning.py`.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from bdw.ray.cluster import running_ray
from sweeps.runner import command_line, datasets
from sweeps.runner.experiment import SearchExperiment
from sweeps.runner.options import SearchOptions
from sweeps.runner.search import run_search
from sweeps.runner.space import Space
from sweeps.runner.tune_runner import Workload

EXPERIMENT = "grid_sweep"
ETAS, RHOS, LAMBDAS = (100.0, 10.0, 1.0, 0.1), (0.5, 0.7, 0.9), (0.1, 0.25)
LARGEST = len(ETAS) * len(RHOS) * len(LAMBDAS)


@dataclass(frozen=True)
class Grid(Space):
    """So many cells of the grid, in the place of the paper's eight."""

    size: int = LARGEST

    def paper_cells(self) -> list[dict[str, Any]]:
        """The cells."""
        points = ((eta, rho, cdf_threshold) for cdf_threshold, rho, eta in itertools.product(LAMBDAS, RHOS, ETAS))
        return self.cells(itertools.islice(points, self.size))


def main() -> None:
    """Run the grid's trials that are not done yet."""
    options = command_line.parse(SearchOptions, prog=EXPERIMENT)
    found = SearchExperiment.settle(EXPERIMENT, options, datasets.choose("digits"))
    experiment = dataclasses.replace(
        found,
        space=Grid(found.space.designs, found.space.num_views, size=found.num_trials),
        # All checkpoints stay, so that one can see whether any was written a second time; epochs are counted alike.
        base=found.base.replace(keep_checkpoints=found.base.budget.epochs, budget_unit="epochs"),
    )
    console = Console(width=160)
    with experiment.only_driver(console.print):
        study = experiment.open_search()
        with running_ray(worker_groups=False) as cluster:
            run_search(experiment, study, Workload.on(cluster, options), console)


if __name__ == "__main__":
    sys.exit(command_line.run(main, prog=EXPERIMENT))
