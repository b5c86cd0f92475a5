"""Can one run serve ten targets? Its cost, and the worth of what it keeps, beside those of a run for each target.

`python -m benchmarks.many_targets --folder runs/many --save many-targets-cpu` trains on the rendered pool, for every
seed: plain training, measured on all targets; plain training that values the pool for all targets; one encoder for all
targets; and the recommended recipe for each target alone. Then plain training, over the same budget, on what each of
them would keep for a target: as many images as that target's own run kept, and a random subset of that size. Rows are
kept in the folder as they come, and the same command goes on where it was.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch
import tyro
from numpy.typing import NDArray

from bdw.config import presets
from bdw.data.readers.glyphs import REPORTED
from bdw.runs.export import write_weights_file
from bdw.training.epoch import EpochTotals
from bdw.training.trainer import Trainer
from bdw.weighting.keep_mask import in_order_of_use
from benchmarks.harness import provenance, write_result
from benchmarks.working_file import Row, WorkingFile

PLAIN, VALUED, SHARED, OWN = "plain training", "valued for all", "one encoder for all", "a run for each"
RANDOM = "random subset"
OF_ALL = (PLAIN, VALUED, SHARED)
"""Runs that there is one of a seed; `OWN` there is of every target."""
KEPT_BY = (OWN, VALUED, SHARED, RANDOM)
"""Who chose the images of the second half's runs."""


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    folder: Path
    """Where runs and rows are kept."""
    scripts: tuple[str, ...] = REPORTED
    """Targets."""
    seeds: tuple[int, ...] = (1, 2, 3)
    epochs: int = 4
    """The budget as passes over the pool."""
    source: str = "glyphs"
    """The pool."""
    combine_targets: str = "union"
    """What one encoder for all is trained on."""
    processes: int = 2
    """Side by side, one thread each."""
    save: str | None = None
    """Keep the result in benchmarks/results under this name."""


@dataclass(frozen=True)
class Job:
    """One run: `script` is None where it is for all targets, `kept_by` where it is trained on the whole pool."""

    seed: int
    method: str
    script: str | None = None
    kept_by: str | None = None

    @property
    def name(self) -> str:
        """Of its run's folder and its rows."""
        return "-".join(
            str(part).replace(" ", "_") for part in (self.seed, self.method, self.script, self.kept_by) if part
        )


def main(arguments: Arguments) -> None:
    """Print a line a run, then the tables, and keep all of it if asked to."""
    # What all targets share is in every row.
    settings = {name: getattr(arguments, name) for name in ("source", "epochs", "combine_targets", "scripts")}
    file = WorkingFile(arguments.folder / "rows.json", settings, ("job", "domain"))
    halves = _first_half(arguments), _second_half(arguments)
    done = {row["job"] for row in file.rows}
    with ProcessPoolExecutor(arguments.processes) as pool:
        for half in halves:
            missing = [job for job in half if job.name not in done]
            for future in as_completed([pool.submit(_run, arguments, job) for job in missing]):
                print(_line(file.add_together(future.result())), flush=True)
    wanted = {job.name for half in halves for job in half}
    found = [row for row in file.rows if row["job"] in wanted]
    cost, worth = costs(found), worths(found)
    print(f"\n{cost.to_string()}\n\n{worth.to_string()}\n")
    if arguments.save is not None:
        told = {
            name: [*map(str, value)] if isinstance(value, tuple) else str(value)
            for name, value in vars(arguments).items()
        }
        del told["folder"]
        contents = {**provenance(arguments.seeds[0]), "arguments": told, "runs": found}
        write_result(arguments.save, contents | {"cost": cost.to_dict(), "kept_sets": worth.to_dict()})


def costs(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """By seed: processor seconds of training, of plain training, of each run for all, and of the targets' own runs
    together; and the ratios of each run for all to plain training and to the own runs."""
    frame = pd.DataFrame([row for row in rows if row["kept_by"] is None]).drop_duplicates("job")
    seconds = frame.pivot_table("processor_seconds", "seed", "method", "sum")
    for method in (VALUED, SHARED):
        for base in (PLAIN, OWN):
            seconds[f"{method} / {base}"] = seconds[method] / seconds[base]
    return seconds.round(3)


def worths(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """By who chose the images: mean test accuracy (%) of plain training on them, and the difference, in points, from
    the choice of the target's own run: mean, and ends of the 95 % interval over pairs of target and seed."""
    frame = pd.DataFrame([row for row in rows if row["kept_by"] is not None])
    accuracy = 100 * frame.pivot_table("value", ["seed", "domain"], "kept_by")
    found = []
    for chooser in (name for name in KEPT_BY if name in accuracy):
        difference = (accuracy[chooser] - accuracy[OWN]).to_numpy()
        half = _half_of_interval(difference)
        mean = float(difference.mean())
        found.append((chooser, accuracy[chooser].mean(), mean, mean - half, mean + half))
    columns = ["images by", "accuracy", "difference", "low", "high"]
    return pd.DataFrame(found, columns=columns).set_index("images by").round(2)


def _half_of_interval(values: NDArray[np.float64]) -> float:
    """By Student's t; 0 of a single value."""
    if len(values) < 2:
        return 0.0
    from scipy.stats import t

    return float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))


def _line(rows: Sequence[Row]) -> str:
    """Of one run."""
    mean = statistics.mean(row["value"] for row in rows)
    return f"{rows[0]['job']:55} accuracy {100 * mean:5.1f} %  {rows[0]['processor_seconds']:7.2f} s"


def _first_half(arguments: Arguments) -> list[Job]:
    of_all = [Job(seed, method) for seed in arguments.seeds for method in OF_ALL]
    return of_all + [Job(seed, OWN, script) for seed in arguments.seeds for script in arguments.scripts]


def _second_half(arguments: Arguments) -> list[Job]:
    return [
        Job(seed, PLAIN, script, chooser)
        for seed in arguments.seeds
        for script in arguments.scripts
        for chooser in KEPT_BY
    ]


def _run(arguments: Arguments, job: Job) -> list[dict[str, Any]]:
    """A row for every target that the run is measured on."""
    torch.set_num_threads(1)
    settings = _settings(arguments, job)
    shutil.rmtree(settings["run_dir"], ignore_errors=True)  # Half a run would have half its seconds.
    trainer = _Timed(presets.glyphs().replace(**settings))
    for _ in trainer.epochs():
        pass
    last, planted = trainer.history[-1], trainer.problem.source.planted
    assert planted is not None
    kept = trainer.mask.kept.numpy()
    table = pq.read_table(trainer.run.results).to_pylist()
    return [
        {
            "job": job.name,
            "seed": job.seed,
            "method": job.method,
            "kept_by": job.kept_by,
            "domain": row["domain"],
            "value": round(row["value"], 4),
            "processor_seconds": round(trainer.processor_seconds, 4),
            "step_seconds": round(sum(report.seconds for report in trainer.history), 4),
            "wall_seconds": round(last.wall_seconds, 3),
            "instances_seen": last.instances_seen,
            "kept_fraction": round(last.kept_fraction, 4),
            "letters_kept": round(float(kept[planted == 1].mean()), 4),
        }
        for row in table
        if row["metric"] == "accuracy"
    ]


class _Timed(Trainer):
    """Counts processor seconds of training steps and of what is learnt and pruned at an epoch's end: what else the
    machine does hardly changes them, and evaluations on ten targets are no part of them."""

    processor_seconds = 0.0

    def _train(self, epoch: int) -> EpochTotals:
        with self._counted():
            return super()._train(epoch)

    def _conclude(self, epoch: int) -> None:
        with self._counted():
            super()._conclude(epoch)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        began = time.process_time()
        yield
        self.processor_seconds += time.process_time() - began


def _settings(arguments: Arguments, job: Job) -> dict[str, Any]:
    targets = [f"glyphs-{script}" for script in arguments.scripts]
    folder = arguments.folder.resolve()
    common = {
        "source": arguments.source, "epochs": arguments.epochs, "seed": job.seed, "data_seed": job.seed,
        "run_dir": str(folder / job.name), "cache_dir": str(folder / "packed"), "report": False,
        "device": "cpu", "target": targets[0] if job.script is None else f"glyphs-{job.script}",
    }  # fmt: skip
    if job.kept_by is not None:
        return {**common, "weighter": "given", "weights_file": str(_chosen(arguments, job))}
    own: dict[str, dict[str, Any]] = {
        PLAIN: {"weighter": "uniform", "targets": targets},
        VALUED: {"weighter": "uniform", "value_for": targets},
        SHARED: {"targets": targets, "combine_targets": arguments.combine_targets},
        OWN: {},
    }
    return {**common, **own[job.method]}


def _chosen(arguments: Arguments, job: Job) -> Path:
    """A file of weights 1 and 0: what the target's own run kept, or as many of the most useful, or at random."""
    assert job.script is not None
    own = _table(arguments, Job(job.seed, OWN, job.script), None)
    kept = own["kept"].to_numpy(dtype=bool)
    if job.kept_by == RANDOM:
        order = np.random.default_rng([job.seed, 0]).permutation(len(kept))
    elif job.kept_by == OWN:
        order = np.flatnonzero(kept)
    else:
        table = _table(arguments, Job(job.seed, str(job.kept_by)), f"glyphs-{job.script}")
        order = in_order_of_use(np.arange(len(kept)), table["mean"].to_numpy(), job.seed)
    weights = np.zeros(len(kept))
    weights[order[: int(kept.sum())]] = 1
    path = arguments.folder / f"{job.name}.parquet"
    write_weights_file(path, own["name"].to_numpy(), weights, _content_key(arguments, job))
    return path.resolve()


def _table(arguments: Arguments, job: Job, target: str | None) -> pd.DataFrame:
    """instance_weights.parquet of that job's run, or its usefulness for the target."""
    name = "instance_weights" if target is None else f"usefulness_{target}"
    table: pd.DataFrame = pq.read_table(arguments.folder / job.name / f"{name}.parquet").to_pandas()
    return table.sort_values("index")


def _content_key(arguments: Arguments, job: Job) -> str:
    assert job.script is not None
    config = json.loads((arguments.folder / Job(job.seed, OWN, job.script).name / "config.json").read_text("utf-8"))
    return str(config["source"]["content_key"])


if __name__ == "__main__":
    main(tyro.cli(Arguments))
