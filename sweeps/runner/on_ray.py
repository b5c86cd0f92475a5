"""Ray for a sweep, from what is written before it starts to a trial's share of the cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from bdw.ray.cluster import running_ray
from bdw.storage.atomic_write import write_text
from sweeps.runner.experiment import Experiment
from sweeps.runner.tune_runner import Workload


@contextmanager
def on_ray(experiment: Experiment, console: Console) -> Iterator[Workload]:
    """Write the sweep's config.json and run Ray while the block runs; gives how trials are spread over the cluster.

    Raises `InputError` if Ray cannot be had, or a trial will never fit.
    """
    paths, options = experiment.paths, experiment.options
    write_text(paths.path / "config.json", json.dumps(experiment.described(), indent=2) + "\n")
    console.print(f"sweep {paths.name} in {paths.path}: starting Ray", soft_wrap=True)
    with running_ray(worker_groups=options.num_workers > 1) as cluster:
        yield Workload.on(cluster, options)
