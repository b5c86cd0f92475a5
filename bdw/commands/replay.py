"""`python -m bdw replay`: what every lambda and rho would have pruned, before a sweep is paid for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bdw.config import RunConfig
from bdw.config.budget import Budget
from bdw.diagnostics.replay import grid, replay
from bdw.errors import InputError
from bdw.report.figure import to_png
from bdw.report.replay_map import replay_map
from bdw.report.replay_tables import as_csv, in_words
from bdw.report.table_files import read_table
from bdw.runs.directory import RunDirectory
from bdw.runs.trajectory import Trajectory
from bdw.storage.atomic_write import replacing, write_text

if TYPE_CHECKING:
    from bdw.commands.options import Replay


def replay_run(command: Replay) -> None:
    """Write replay.csv and replay.png, by default into the run's directory, and say what they show."""
    pairs = grid(command.cdf_threshold, command.density_threshold)
    run = RunDirectory(command.run)
    config = _config(run)
    replayed = replay(
        Trajectory(run.trajectory),
        config,
        pairs,
        burn_in_epochs=command.burn_in_epochs,
        planted=_planted(run.instance_weights),
    )
    folder = command.out or run.path
    table, picture = folder / "replay.csv", folder / "replay.png"
    write_text(table, as_csv(replayed))
    with replacing(picture) as temporary:
        temporary.write_bytes(to_png(replay_map(replayed)))
    budget = Budget.of(config.budget, replayed.num_instances)
    length = None if budget.images is None else (_seen(run, replayed.num_epochs), budget.images)
    print(in_words(replayed, num_epochs=config.budget.epochs, budget=length))
    print(f"\ntable   {table}\npicture {picture}")


def _config(run: RunDirectory) -> RunConfig:
    if not run.path.is_dir():
        raise InputError(f"run: {str(run.path)!r} does not exist; allowed: the directory of a run")
    try:
        return RunConfig.from_earlier(run.read_config()["config"])
    except KeyError as error:
        raise InputError(f"run: {run.config} is not a run's config.json; allowed: the directory of a run") from error


def _seen(run: RunDirectory, epochs: int) -> int:
    """Images that the first `epochs` epochs trained on."""
    return int(read_table(run.metrics, ["instances_seen"])["instances_seen"].iloc[epochs - 1])


def _planted(path: Path) -> NDArray[np.int8] | None:
    """What was planted, if the run is finished and says so."""
    if not path.is_file():
        return None
    table = read_table(path, [])
    return table["planted"].to_numpy(dtype=np.int8) if "planted" in table else None
