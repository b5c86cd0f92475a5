"""What grows with what: seconds and memory of real runs against instances, workers, meta-batch and parameters.

`python -m benchmarks.studies.growth --save` measures and keeps the numbers;
`python -m benchmarks.studies.growth_table --save` writes the section "Measured growth" of docs/scaling.md from them.

Images are 8 x 8 random pixels and the encoder is `small_cnn`, so that a million instances can be tried. Steps are those
of the real loop; a fixed number of them is timed, the variants taking turns, and so is everything that a real run does
between two epochs but for the evaluation, which does not see the source. Small sources are trained for whole epochs
too, against which the sum of both is held. `benchmarks.scaling` measures the parts of what lies between epochs.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import scipy.stats
import torch
import torch.distributed as dist
import tyro

from bdw.config import RunConfig
from bdw.encoders import Encoder, SmallCNN
from bdw.parallel.randomness import drawn_from
from bdw.pretext import PretextModel
from bdw.training.data_parallel import replicated
from bdw.training.epoch import EpochTotals
from bdw.training.trainer import Trainer
from bdw.weighting.gradient.estimators import choose
from bdw.weighting.keep_mask import KeepMask
from benchmarks.harness import provenance, release_freed_memory, resident_kib, write_result
from benchmarks.random_problem import random_problem
from benchmarks.scaling import random_weighter
from benchmarks.step_parts import run_steps

SIDE = 8
BATCH = 64
BASE = 10_240
"""Instances where something else grows."""
WHOLE = 110_000
"""Instances up to which whole epochs are trained too."""
IMAGENET = 1_300_000
WORKERS = (1, 2)
PER_CLASS = (1, 2, 5, 10)
"""Shots, and as many queries, of ten classes: meta-batches of 20 to 200 images."""
WIDTHS = (16, 32, 48, 64)
"""Channels of the encoder's first layer; parameters grow with the square."""


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    instances: tuple[int, ...] = (1_024, 10_240, 102_400, 1_024_000)
    """Sizes of the source, whole batches, so that every step has as many images."""
    steps: int = 40
    """Steps in a timing."""
    rounds: int = 9
    """How often every variant is timed."""
    seed: int = 0
    """Seed of pixels and tables."""
    save: bool = False
    """Keep the result in benchmarks/results."""


def trainer_of(folder: Path, instances: int, *, per_class: int = 5, width: int | None = None, seed: int = 0) -> Trainer:
    """A run before its first step, with BDW, prototypes and, if a width is given, an encoder of that width."""
    folder.mkdir(parents=True)
    problem = random_problem(folder, instances, 1, SIDE, 2 * max(PER_CLASS), seed)
    config = RunConfig().replace(**
        {
            "image_size": SIDE, "crop_size": SIDE, "crop_padding": 1, "batch_size": BATCH, "shots": per_class,
            "queries": per_class, "epochs": 10**6, "evaluate_every": 10**6, "device": "cpu", "report": False,
            "run_dir": str(folder / "run"),
        }
    )  # fmt: skip
    trainer = Trainer(config, problem=problem)
    if width is not None:
        _widen(trainer, width)
    return trainer


def _widen(trainer: Trainer, width: int) -> None:
    learner = trainer.learner
    with drawn_from(learner.randomness["model"]):
        encoder = Encoder(SmallCNN(1, width), 1, 4 * width, (1, SIDE, SIDE))
        model = PretextModel(encoder, type(learner.model.task)(encoder))
    options = trainer.config.optimiser
    optimiser = torch.optim.SGD(
        model.parameters(), lr=options.learning_rate, momentum=options.momentum, weight_decay=options.weight_decay
    )
    example = torch.zeros(2, 1, SIDE, SIDE)
    assert learner.alignment is not None
    alignment = dataclasses.replace(learner.alignment, estimator=choose(model))
    trainer.state.learner = dataclasses.replace(
        learner, model=model, replicated=replicated(model, example), optimiser=optimiser, alignment=alignment
    )


def milliseconds_per_step(trainers: Mapping[int, Trainer], steps: int, rounds: int) -> dict[int, list[float]]:
    """Milliseconds a step of every variant in every round, after a round to warm up; the variants take turns."""
    found: dict[int, list[float]] = {variant: [] for variant in trainers}
    for number in range(rounds + 1):
        for variant, trainer in trainers.items():
            seconds = run_steps(trainer, steps)
            if number:
                found[variant].append(1000 * seconds / steps)
    return found


def between_epochs(trainer: Trainer, rounds: int, seed: int) -> list[float]:
    """Seconds of everything between an epoch's last step and the next epoch's first, but evaluation, in every round.

    The table is that of a run in its middle: half of the source is useless, and pruned in every round.
    """
    return [_end_of_epoch(trainer, epoch, seed) for epoch in range(1, rounds + 2)][1:]


def _end_of_epoch(trainer: Trainer, epoch: int, seed: int) -> float:
    weighter, mask = trainer.learner.weighter, trainer.mask
    weighter.load_state_dict(random_weighter(len(mask.kept), seed).state_dict())
    mask.kept.fill_(True)
    mask.pruned_at_epoch.zero_()
    totals = EpochTotals(1, BATCH, 0, 1.0, 0.5, 1.0, 1.0, 0.0)
    trainer._train = lambda epoch: totals  # type: ignore[method-assign]
    try:
        began = time.perf_counter()
        trainer._epoch(epoch)
        return time.perf_counter() - began
    finally:
        del trainer._train


def whole_epoch(trainer: Trainer) -> float:
    """Seconds of one epoch of a fresh run and all that follows it."""
    began = time.perf_counter()
    trainer._epoch(1)
    return time.perf_counter() - began


def pruning_seconds(instances: int, rounds: int, seed: int) -> list[float]:
    """Seconds of the verdicts on `instances` instances and the keep mask that follows, in every round."""
    weighter, seconds = random_weighter(instances, seed), []
    for _ in range(rounds):
        mask = KeepMask(instances, BATCH)
        began = time.perf_counter()
        mask.prune(weighter.useless(), weighter.table().mean, 1)
        seconds.append(time.perf_counter() - began)
    return seconds


def peak_bytes(instances: int, seed: int) -> float:
    """Highest memory of a run (its table, some steps, an end of epoch) beyond what the process held before.

    In a process of its own; pages of the memory-mapped images, which the system may take back, do not count. Linux.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure_peak, args=(sender, instances, seed))
    process.start()
    sender.close()
    try:
        return float(receiver.recv())
    finally:
        process.join()


def _measure_peak(sender: Any, instances: int, seed: int) -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        # A first run loads all code; what it leaves to the allocator is small.
        warm = trainer_of(Path(folder) / "warm", 1000, seed=seed)
        run_steps(warm, 4)
        _end_of_epoch(warm, 1, seed)
        release_freed_memory()
        before, files_before = resident_kib("VmRSS"), resident_kib("RssFile")
        Path("/proc/self/clear_refs").write_text("5")
        trainer = trainer_of(Path(folder) / "run", instances, seed=seed)
        run_steps(trainer, 4)
        _end_of_epoch(trainer, 1, seed)
        files = resident_kib("RssFile") - files_before
        sender.send(1024 * (resident_kib("VmHWM") - before - files))


def workers_milliseconds(workers: int, batch: int, steps: int, rounds: int, seed: int) -> list[float]:
    """Milliseconds a step of so many gloo workers that share a global batch, in every round, as rank 0 sees it."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as folder:
        arguments = (sender, workers, batch, steps, rounds, seed, folder)
        processes = [context.Process(target=_work, args=(rank, *arguments)) for rank in range(workers)]
        for process in processes:
            process.start()
        sender.close()
        try:
            return list(receiver.recv())
        finally:
            for process in processes:
                process.join()


def _work(rank: int, sender: Any, workers: int, batch: int, steps: int, rounds: int, seed: int, folder: str) -> None:
    torch.set_num_threads(1)
    if workers > 1:
        store = dist.FileStore(f"{folder}/store", workers)  # type: ignore[attr-defined]
        dist.init_process_group("gloo", store=store, rank=rank, world_size=workers, timeout=timedelta(minutes=2))
    trainer = trainer_of(Path(folder) / str(rank), BASE, seed=seed)
    optimiser = dataclasses.replace(trainer.config.optimiser, batch_size=batch)
    trainer.config = dataclasses.replace(trainer.config, optimiser=optimiser)
    found = milliseconds_per_step({workers: trainer}, steps, rounds)[workers]
    if rank == 0:
        sender.send(found)
    if workers > 1:
        dist.barrier()
        dist.destroy_process_group()


@dataclass(frozen=True)
class Line:
    """The straight line of least squares through some points."""

    slope: float
    intercept: float
    r_squared: float
    slope_error: float
    """Standard error of the slope."""

    @property
    def slope_is_nothing(self) -> bool:
        """Whether 0 lies within two standard errors of the slope."""
        return abs(self.slope) <= 2 * self.slope_error


def line(points: Mapping[int, Sequence[float]]) -> Line:
    """Through all rounds of all variants."""
    x, y = zip(*((variant, value) for variant, values in points.items() for value in values), strict=True)
    fit = scipy.stats.linregress(x, y)
    return Line(float(fit.slope), float(fit.intercept), float(fit.rvalue) ** 2, float(fit.stderr))


def _against_instances(arguments: Arguments, folder: Path) -> dict[str, Any]:
    build = functools.partial(trainer_of, seed=arguments.seed)
    trainers = {n: build(folder / f"instances-{n}", n) for n in arguments.instances}
    steps = milliseconds_per_step(trainers, arguments.steps, arguments.rounds)
    ends = {
        n: between_epochs(trainer, max(2, arguments.rounds // 2), arguments.seed) for n, trainer in trainers.items()
    }
    whole = {n: whole_epoch(build(folder / f"whole-{n}", n)) for n in arguments.instances if n <= WHOLE}
    memory = {n: [peak_bytes(n, arguments.seed)] for n in arguments.instances}
    return {
        "step_ms": steps, "step_line": vars(line(steps)), "between_epochs_s": ends,
        "between_epochs_line": vars(line(ends)), "peak_bytes": memory, "peak_line": vars(line(memory)),
        "whole_epoch_s": whole,
        "predicted_epoch_s": {n: _epoch_seconds(n, statistics.median(steps[n]), ends[n]) for n in steps},
    }  # fmt: skip


def _epoch_seconds(instances: int, step_ms: float, ends: Sequence[float]) -> float:
    return math.ceil(instances / BATCH) * step_ms / 1000 + statistics.median(ends)


def _against_others(arguments: Arguments, folder: Path) -> dict[str, Any]:
    build = functools.partial(trainer_of, seed=arguments.seed)
    timed: Callable[[Mapping[int, Trainer]], dict[int, list[float]]] = functools.partial(
        milliseconds_per_step, steps=arguments.steps, rounds=arguments.rounds
    )
    meta = timed({20 * k: build(folder / f"meta-{k}", BASE, per_class=k) for k in PER_CLASS})
    trainers = [build(folder / f"width-{width}", BASE, width=width) for width in WIDTHS]
    parameters = timed({sum(p.numel() for p in t.learner.model.parameters()): t for t in trainers})
    workers = {
        f"{count} x {BATCH // count if shared else BATCH}": workers_milliseconds(
            count, BATCH if shared else count * BATCH, arguments.steps, arguments.rounds, arguments.seed
        )
        for count in WORKERS
        for shared in ((True, False) if count > 1 else (False,))
    }
    return {
        "meta_batch_ms": meta, "meta_batch_line": vars(line(meta)), "parameters_ms": parameters,
        "parameters_line": vars(line(parameters)), "workers_ms": workers,
    }  # fmt: skip


def main(arguments: Arguments) -> None:
    """Measure everything, print medians and lines, and keep them if asked to."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        result = _against_instances(arguments, Path(folder))
        result |= _against_others(arguments, Path(folder))
    result["pruning_s"] = {IMAGENET: pruning_seconds(IMAGENET, arguments.rounds, arguments.seed)}
    for name, value in result.items():
        print(name, {key: _median(each) for key, each in value.items()})
    if arguments.save:
        facts = {"batch": BATCH, "base_instances": BASE, "steps_in_a_timing": arguments.steps}
        write_result("growth-cpu", {**provenance(arguments.seed), **facts, **result})


def _median(value: Any) -> float:
    return float(f"{statistics.median(value) if isinstance(value, list) else value:.4g}")


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
