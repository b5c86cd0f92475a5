"""Deletes checkpoints from the disks of all machines, where each has run directories of its own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bdw.runs import checkpoint

logger = logging.getLogger(__name__)


def delete_on_every_machine(folders: Sequence[str]) -> list[Any]:
    """Begin to delete these folders of checkpoints on all machines that run now, `~` being the home of Ray's user
    there.

    Returns Ray's references of the tasks, one a machine, which take no CPU and are not tried again.
    """
    task = ray.remote(num_cpus=0, max_retries=0)(delete_here)
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    return [
        task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(list(folders))
        for node in nodes
    ]


def delete_here(folders: Sequence[str]) -> None:
    """Delete these folders of checkpoints on this machine; what is not there or cannot be deleted is left."""
    for folder in folders:
        try:
            checkpoint.delete_all(Path(folder).expanduser())
        except OSError as error:
            logger.warning("could not delete the checkpoints in %s: %s", folder, error)
