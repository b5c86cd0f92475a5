#!/usr/bin/env python
"""The main job: how hard may an image pool be pruned, and is it worth its price?

    python sweeps/stl10_pruning.py                                         the embedded pool, minutes on two cores
    python sweeps/stl10_pruning.py --data stl10 --data-root DIR --gpus-per-trial 1       the paper's experiment
    python sweeps/stl10_pruning.py --data tiny-imagenet --data-root DIR --targets cifar10     real pictures
    ray job submit -- sweeps/stl10_pruning.py --smoke                  on a cluster started in the repository's root

The sweep first searches settings on one target: the paper's eight cells of Table 3 (eta x rho x lambda) and the
recommended recipe, then Optuna's proposals for both. It then compares the chosen settings with plain training on every
target domain, at the same budget of images, and where these exist with a random subset, nearest neighbours and an
oracle. The same command with the same name continues a sweep that was stopped.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# `ray job submit` runs this file with its own folder first on the path.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sweeps.runner import command_line, datasets
from sweeps.runner.options import SearchOptions

EXPERIMENT = "stl10_pruning"


@dataclass(frozen=True, kw_only=True)
class Options(SearchOptions):
    """Search pruning settings and compare the best of them with plain training and other controls."""

    data: str = "glyphs"
    """glyphs (the embedded pool), digits (embedded, too), stl10 (the paper's) or tiny-imagenet (.npz files)."""

    def check(self) -> None:
        """Raise `InputError` for values that cannot work."""
        datasets.require_data_root(datasets.choose(self.data), self.data_root)
        super().check()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the sweep to its end; raises `InputError` for what cannot work."""
    options = command_line.parse(Options, arguments, prog=EXPERIMENT)
    options.check()
    # Takes seconds to import, so that what cannot work has been told.
    from sweeps.results.search_and_compare import search_and_compare
    from sweeps.runner.experiment import SearchExperiment

    experiment = SearchExperiment.settle(EXPERIMENT, options, datasets.choose(options.data))
    search_and_compare(experiment, title=f"Pruning sweep on {options.data}")


if __name__ == "__main__":
    sys.exit(command_line.run(main, prog=EXPERIMENT))
