"""How well does a run's scorer rank images that the run never saw, and how many does it score a second?

`python -m benchmarks.unseen_scores [--save]` trains the recommended recipe on the rendered pool for several targets and
seeds, and scores another pool of the same kind (another seed). Compared are the AUROC, letters against rubbish, of the
scores of unseen images and of the weights that the run learnt of its own, and the share of held-out weights within
their 95 % intervals. What the scorer regresses was chosen on other targets and seeds (benchmarks/LOG.md). The speed is
that of one thread on decoded images, without the time to read them.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
import tyro

from bdw.config import RunConfig, presets
from bdw.data import PackedDataset, pack
from bdw.evaluation.planted_auroc import planted_auroc
from bdw.runs.directory import RunDirectory
from bdw.scoring.scorer import ScorerFiles, held_out_of
from bdw.training.trainer import iterate
from benchmarks.harness import provenance, write_result


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    scripts: tuple[str, ...] = ("greek", "armenian", "arabic", "tifinagh")
    """Targets."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the runs and of their pools."""
    unseen_seed: int = 1000
    """Of the pool that no run saw."""
    images: int = 8000
    """Of either pool."""
    speed_encoder: str = "small_resnet"
    speed_size: int = 32
    """Side in pixels of the images on which the speed is measured, with that encoder."""
    rounds: int = 5
    """Passes over the images, of which the median counts."""
    save: bool = False
    """Keep the result in benchmarks/results."""


def main(arguments: Arguments) -> dict[str, Any]:
    """Measure and print; returns what is saved."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            row_of(Path(folder), arguments, script, seed) for script in arguments.scripts for seed in arguments.seeds
        ]
        speed = images_per_second(Path(folder), arguments)
    worst = min(row["unseen_auroc"] - row["own_auroc"] for row in rows)
    print(f"unseen less own AUROC: worst {worst:+.3f}; {speed:,.0f} images/s with one thread")
    result = {
        **provenance(arguments.seeds[0]),
        "images": arguments.images,
        "unseen_seed": arguments.unseen_seed,
        "rows": rows,
        "speed": {
            "encoder": arguments.speed_encoder,
            "image_size": arguments.speed_size,
            "images_per_second": round(speed),
        },
    }
    if arguments.save:
        write_result("unseen-scores-cpu", result)
    return result


def row_of(folder: Path, arguments: Arguments, script: str, seed: int) -> dict[str, Any]:
    """One run, and what its scorer says of the unseen pool."""
    config = config_of(folder, arguments, f"glyphs-{script}", seed)
    run = trained(config)
    weights = pq.read_table(run.instance_weights)
    unseen = unseen_pool(folder, arguments, config.data.image_size)
    ratings = ScorerFiles.of(run).load(torch.device("cpu"))(unseen.images)
    found = held_out_of(run.scorer)
    row = {
        "script": script,
        "seed": seed,
        "own_auroc": round(planted_auroc(weights["mean"].to_numpy(), weights["planted"].to_numpy()), 4),
        "unseen_auroc": round(planted_auroc(ratings.predicted, unseen.planted), 4),
        "held_out_kept_auroc": round(found.kept_auroc, 4),
        "held_out_coverage": round(found.coverage, 4),
        "held_out_correlation": round(found.correlation, 4),
    }
    print(row, flush=True)
    return row


def images_per_second(folder: Path, arguments: Arguments) -> float:
    """Of a scorer with the speed's encoder; how good it is does not matter."""
    size = arguments.speed_size
    config = config_of(folder, arguments, f"glyphs-{arguments.scripts[0]}", arguments.seeds[0]).replace(
        run_dir=str(folder / "speed"), encoder=arguments.speed_encoder, image_size=size, crop_size=size,
        epochs=2,
    )  # fmt: skip
    scorer = ScorerFiles.of(trained(config)).load(torch.device("cpu"))
    images = np.array(unseen_pool(folder, arguments, size).images)
    seconds = []
    for _ in range(arguments.rounds):
        began = time.perf_counter()
        scorer(images)
        seconds.append(time.perf_counter() - began)
    return len(images) / statistics.median(seconds)


def config_of(folder: Path, arguments: Arguments, target: str, seed: int) -> RunConfig:
    """The recommended recipe on a pool of that seed."""
    return presets.glyphs().replace(
        source=f"glyphs:images={arguments.images}", target=target, seed=seed, data_seed=seed, device="cpu",
        run_dir=str(folder / f"{target}-{seed}"), cache_dir=str(folder / "packed"),
    )  # fmt: skip


def trained(config: RunConfig) -> RunDirectory:
    """The run, to its end."""
    for _ in iterate(config):
        pass
    return RunDirectory(Path(config.output.run_dir))


def unseen_pool(folder: Path, arguments: Arguments, size: int) -> PackedDataset:
    """A pool of another seed at that size."""
    path = folder / f"unseen-{size}"
    if path.exists():
        return PackedDataset.open(path)
    return pack(f"glyphs:images={arguments.images}", path, size, seed=arguments.unseen_seed)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
