"""Every source image's weight after a run that prunes nothing, and plain training on chosen images alone."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bdw.config import RunConfig
from bdw.data import Problem
from bdw.errors import InputError
from bdw.runs.directory import RunDirectory
from bdw.runs.export import write_table
from bdw.training.trainer import iterate
from benchmarks.harness import final_scores
from sweeps.runner.episode_designs import Design, Room


def mean_weights(config: RunConfig, problem: Problem, folder: str) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """(n,) the mean weight of each source image after a run that prunes nothing; and the run, as `trained_on` has it.

    An episode's design that the target has no room for is cut down to fit, as in a sweep. The config's run directory is
    ours to set: below `folder`.
    """
    design = Room.of(problem.description).largest_within(Design.of(config))
    run_dir = tempfile.mkdtemp(dir=folder)
    run = _run(config.replace(**design.fields, prune=False, run_dir=run_dir), problem)
    return final_mean_weights(run_dir), run


def trained_on(rows: NDArray[np.int64], config: RunConfig, problem: Problem, folder: str) -> dict[str, Any]:
    """What came of training on these rows of the source as if there were no others.

    Whichever the rows, the run starts from the same encoder and, for as many rows, makes the same number of steps.

    Args:
        rows: distinct indices of source images.
        config: the run; its weighter and run directory are ours to set.
        problem: of the config.
        folder: where to make the run's directory.

    Returns:
        The number of images, the number of instances seen over all epochs, seconds of training, and every measure of
        the test split by its name.

    Raises:
        InputError: fewer rows than a batch, which a run never goes below.
    """
    if len(rows) < config.optimiser.batch_size:
        raise InputError(
            f"subset: {len(rows)} images are less than a batch; allowed: {config.optimiser.batch_size} or more"
        )
    run_dir = tempfile.mkdtemp(dir=folder)
    # Weights of 1 and 0: what is thrown away before the first epoch is not trained on, and the rest is as if uniform.
    weights = np.zeros(len(problem.source))
    weights[rows] = 1
    file = Path(f"{run_dir}.parquet")
    write_table(file, pa.table({"index": np.arange(len(weights)), "weight": weights}))
    plain = config.replace(weighter="given", weights_file=str(file), prune=True, run_dir=run_dir)
    return _run(plain, problem)


def _run(config: RunConfig, problem: Problem) -> dict[str, Any]:
    reports = list(iterate(config, problem=problem))
    scores = final_scores(config.output.run_dir)
    return {
        "images": reports[-1].kept,
        "instances": reports[-1].instances_seen,
        "seconds": round(sum(report.seconds for report in reports), 2),
        **{name: round(scores[name], 5) for name in (config.evaluation.measure, *config.evaluation.final_measures)},
    }


def final_mean_weights(run_dir: str | Path) -> NDArray[np.float64]:
    """(n,) of a finished run's table of weights, in the order of the source."""
    weights: NDArray[np.float64] = pq.read_table(RunDirectory(Path(run_dir)).instance_weights, columns=["mean"])[
        "mean"
    ].to_numpy()
    return weights
