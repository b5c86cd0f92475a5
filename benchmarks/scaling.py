"""What every instance of the source costs beside its images: bytes and seconds, measured over growing sources.

`python -m benchmarks.scaling --save` keeps the constants from which `python -m benchmarks.scaling_model` computes the
tables of docs/scaling.md. No image and no model is needed: random tables stand for a run in the middle of its training.

catch up      end_epoch of one worker: all momentum brought to the present
CDF           useless(): the Beta distribution function of every instance
table         a, b, mean and variance of every instance (twice an epoch with pruning)
order         the epoch's permutation, cut into batches
digest        SHA-256 of table and keep mask, by which workers compare them
save, load    a checkpoint of table and keep mask
export        instance_weights.parquet, with names of 21 characters
planted       AUROC of the mean weight, for sources with planted junk
exchange      end_epoch between two workers over gloo, without the catch-up of one worker
resume        one worker reads a checkpoint and hands it to the other
step          weights of a batch of 32 drawn and updated: must not grow with the source
"""

from __future__ import annotations

import functools
import json
import math
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import tyro

from bdw import encoders, pretext
from bdw.config import WeighterConfig
from bdw.data.batches import global_batches
from bdw.data.packed import PackedDataset
from bdw.evaluation.planted_auroc import planted_auroc
from bdw.parallel import collectives, consistency
from bdw.pretext import PretextModel
from bdw.runs import checkpoint, export
from bdw.runs.checkpoint import Position
from bdw.training.progress import EpochProgress
from bdw.weighting.keep_mask import KeepMask
from bdw.weighting.weighters.beta import BetaWeighter
from benchmarks.harness import RESULTS, provenance, resident_kib, write_result

GLOBAL_BATCH, LOCAL_BATCH = 256, 32
STEPS = 200
"""Steps in one timing of `step`, which is shorter than the clock's noise."""
PATIENCE = timedelta(minutes=5)
"""With a worker that does not answer."""
RESERVE = 0.6
"""Share of the free memory that a part may be expected to take; beyond it the part is left out."""

Run = Callable[[], Any]
Prepare = Callable[[int, Path, int], Run]


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    sizes: tuple[int, ...] = (100_000, 1_000_000, 10_000_000)
    """Numbers of instances."""
    rounds: int = 5
    """How often every part is timed; the lowest counts, for the machine may be shared."""
    parts: tuple[str, ...] = field(default_factory=lambda: (*ALONE, *IN_PAIRS))
    """Which parts to measure. A kept result takes the other parts from the previous one."""
    seed: int = 0
    """Seed of the random tables."""
    save: bool = False
    """Keep the result in benchmarks/results."""


@dataclass(frozen=True)
class Cost:
    """Cost of one part at one size."""

    part: str
    instances: int
    seconds: float
    """Of the processor, so that other users of the machine do not count, nor waiting for a disk or another worker; the
    lowest of the rounds."""
    peak_bytes: float
    """Highest resident memory of a process beyond what it held before the part began; its results included."""


def random_weighter(num_instances: int, seed: int) -> BetaWeighter:
    """log a, log b ~ N(0, 1.5), momentum at work, clocks behind: as in the middle of a run."""
    config = WeighterConfig()
    weighter = BetaWeighter(
        num_instances,
        learning_rate=config.weight_lr,
        momentum=config.weight_momentum,
        log_bound=config.log_bound,
        cdf_threshold=config.cdf_threshold,
        density_threshold=config.density_threshold,
    )
    generator = torch.Generator().manual_seed(seed)
    weighter.instances.values.normal_(0, 1.5, generator=generator).clamp_(-config.log_bound, config.log_bound)
    weighter.instances.buffers.normal_(0, 1e-3, generator=generator)
    weighter.instances.now = [7]
    return weighter


def state(weighter: BetaWeighter, mask: KeepMask) -> dict[str, Any]:
    """What of a checkpoint, or of a digest, grows with the source."""
    return {"weighter": weighter.state_dict(), "mask": mask.state_dict()}


def state_bytes(num_instances: int) -> dict[str, float]:
    """Bytes per instance of every tensor that a worker holds all the time, by name."""
    both = state(random_weighter(num_instances, 0), KeepMask(num_instances, 1))
    tensors = {f"{part}.{name}": t for part, tensors in both.items() for name, t in tensors.items() if t.numel() > 1}
    return {name: t.numel() * t.element_size() / num_instances for name, t in tensors.items()}


def gradient_bytes(encoder: str) -> dict[str, int]:
    """Float32 bytes of the two all-reduces of a step (the training gradient, and v without the head) and of the model.

    The meta-loss by prototypes does not see the head.
    """
    with torch.device("meta"):
        built = encoders.build(encoder, 3, 84)
        model = PretextModel(built, pretext.build("rotation", built))
    return {
        "training_gradient": sum(4 * p.numel() for p in model.parameters()),
        "meta_gradient": sum(4 * p.numel() for p in model.encoder.parameters()),
        "state": sum(t.numel() * t.element_size() for t in model.state_dict().values()),
    }


def _catch_up(n: int, folder: Path, seed: int) -> Run:
    weighter = random_weighter(n, seed)

    def run() -> None:
        weighter.instances.now[0] += 7
        weighter.end_epoch()

    return run


def _cdf(n: int, folder: Path, seed: int) -> Run:
    return random_weighter(n, seed).useless


def _table(n: int, folder: Path, seed: int) -> Run:
    return random_weighter(n, seed).table


def _order(n: int, folder: Path, seed: int) -> Run:
    mask, generator = KeepMask(n, 1), torch.Generator().manual_seed(seed)
    return lambda: EpochProgress(mask.kept.nonzero().flatten(), GLOBAL_BATCH, generator)


def _batches(n: int, folder: Path, seed: int) -> Run:
    return functools.partial(global_batches, torch.arange(n), GLOBAL_BATCH)


def _digest(n: int, folder: Path, seed: int) -> Run:
    both = state(random_weighter(n, seed), KeepMask(n, 1))
    return lambda: [consistency._digest(tensor) for part in both.values() for tensor in part.values()]


def _save(n: int, folder: Path, seed: int) -> Run:
    both = state(random_weighter(n, seed), KeepMask(n, 1))
    return functools.partial(checkpoint.save, folder, Position(1), both)


def _load(n: int, folder: Path, seed: int) -> Run:
    return functools.partial(checkpoint.load, _save(n, folder, seed)())


def _export(n: int, folder: Path, seed: int) -> Run:
    images = np.zeros((n, 1, 1, 1), dtype=np.uint8)
    names = np.array([f"{i // 1000:06d}/{i:010d}.jpg" for i in range(n)])
    source = PackedDataset(folder, images, np.zeros(0, dtype=np.int64), names, None, None, {"content_key": "0"})
    mask, weights = KeepMask(n, 1), random_weighter(n, seed).table()
    return lambda: export.write_table(folder / "weights.parquet", export.weights_table(source, weights, mask))


def _planted(n: int, folder: Path, seed: int) -> Run:
    generator = np.random.default_rng(seed)
    return functools.partial(planted_auroc, generator.random(n), generator.integers(0, 2, n, dtype=np.int8))


def _step(n: int, folder: Path, seed: int) -> Run:
    weighter, generator = random_weighter(n, seed), torch.Generator().manual_seed(seed)
    gradient = torch.linspace(-1, 1, LOCAL_BATCH, dtype=torch.float64)

    def run() -> None:
        for _ in range(STEPS):
            indices = torch.randint(n, (LOCAL_BATCH,), generator=generator)
            weighter.update(weighter.sample(indices, generator), gradient)

    return run


def _exchange(n: int, folder: Path, seed: int) -> Run:
    """Each of the workers has touched its part of all rows, which are those of a random order."""
    weighter = random_weighter(n, seed)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    mine = order.tensor_split(collectives.size())[collectives.rank()]

    def run() -> None:
        weighter.instances._touched[mine] = True
        weighter.share()

    return run


def _resume(n: int, folder: Path, seed: int) -> Run:
    path = folder / Position(1).name
    collectives.on_first(_save(n, folder, seed))
    return lambda: collectives.computed_on(0, functools.partial(checkpoint.load, path))


ALONE: dict[str, Prepare] = {
    "catch up": _catch_up, "CDF": _cdf, "table": _table, "order": _order, "batches": _batches, "digest": _digest,
    "save": _save, "load": _load, "export": _export, "planted": _planted, "step": _step,
}  # fmt: skip
IN_PAIRS: dict[str, Prepare] = {"exchange": _exchange, "resume": _resume}
PARTS = {**ALONE, **IN_PAIRS}


def measure(part: str, num_instances: int, *, rounds: int, seed: int) -> tuple[Cost, dict[str, int]]:
    """One part at one size in processes of its own, and the bytes of the files or messages that it made.

    NaN where a process was killed, for want of memory.
    """
    world = 2 if part in IN_PAIRS else 1
    context = _context()
    folder = Path(tempfile.mkdtemp(prefix="bdw-scaling-"))
    receiver, sender = context.Pipe(duplex=False)
    arguments = (sender, part, num_instances, rounds, seed, folder, world)
    workers = [context.Process(target=_worker, args=(rank, *arguments)) for rank in range(world)]
    try:
        for worker in workers:
            worker.start()
        sender.close()
        found = [receiver.recv() for _ in workers]
    except EOFError:
        found = [(math.nan, math.nan, {})]
    finally:
        for worker in workers:
            worker.join()
        shutil.rmtree(folder)
    seconds, peaks, made = zip(*found, strict=True)
    # A part ends when its last worker has; the most that one of them needs is what each of them may need.
    return Cost(part, num_instances, max(seconds), max(peaks)), made[0]


@functools.cache
def _context() -> multiprocessing.context.ForkServerContext:
    """Processes that share what is imported, which takes longer than most parts."""
    # What is freed goes back to the system at once, so that no round profits from memory that another one has left.
    # The C library reads it when the fork server starts.
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "131072"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            "benchmarks.harness",
            "bdw.training.trainer",
            "bdw.runs.export",
            "bdw.evaluation.planted_auroc",
            "torch.distributed",
        ]
    )
    return context


def _worker(rank: int, sender: Any, part: str, n: int, rounds: int, seed: int, folder: Path, world: int) -> None:
    if world > 1:
        store = dist.FileStore(str(folder / "store"), world)  # type: ignore[attr-defined]
        dist.init_process_group("gloo", store=store, rank=rank, world_size=world, timeout=PATIENCE)
    run = PARTS[part](n, folder, seed)
    run()  # code and workspaces that are loaded once are no part of it
    made = _bytes_made(part, run, folder)
    peak = _peak(run)
    seconds = []
    for _ in range(rounds):
        began = time.process_time()
        run()
        seconds.append(time.process_time() - began)
    sender.send((min(seconds), peak, made))
    if world > 1:
        dist.barrier()
        dist.destroy_process_group()


def _peak(run: Run) -> int:
    """Bytes of the highest resident memory while it runs, above what was resident before; Linux."""
    Path("/proc/self/clear_refs").write_text("5")
    before = resident_kib("VmRSS")
    run()
    return max(0, resident_kib("VmHWM") - before) * 1024


def _bytes_made(part: str, run: Run, folder: Path) -> dict[str, int]:
    if part == "save":
        return {"checkpoint": sum(file.stat().st_size for file in folder.rglob("*.pt"))}
    if part == "export":
        return {"parquet": (folder / "weights.parquet").stat().st_size}
    if part != "exchange":
        return {}
    handed_over = 0
    all_gather = dist.all_gather

    def count(parts: list[torch.Tensor], tensor: torch.Tensor) -> Any:
        nonlocal handed_over
        handed_over += tensor.numel() * tensor.element_size()
        return all_gather(parts, tensor)

    dist.all_gather = count  # type: ignore[assignment]
    try:
        run()
    finally:
        dist.all_gather = all_gather
    return {"handed_over": handed_over}


def _free_bytes() -> int:
    lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) * 1024


def _is_too_large(part: str, n: int, before: Cost | None) -> bool:
    """Whether the part at that size would need more memory than may be taken, judged by the size before it."""
    if before is None or math.isnan(before.peak_bytes):
        return False
    # Preparing takes some itself: the table, and for `export` a name for every instance as a string and in an array.
    prepared = 400 if part == "export" else 100
    needed = n * (before.peak_bytes / before.instances + prepared) * (2 if part in IN_PAIRS else 1)
    return needed > RESERVE * _free_bytes()


def main(arguments: Arguments) -> None:
    """Measure, print a table, and keep the result if asked to."""
    costs: list[Cost] = []
    made: dict[str, float] = {}
    for part in arguments.parts:
        before: Cost | None = None
        for n in sorted(arguments.sizes):
            if _is_too_large(part, n, before):
                print(f"{part:9} n = {n:>11,}  left out: not enough free memory", flush=True)
                continue
            cost, files = measure(part, n, rounds=arguments.rounds, seed=arguments.seed)
            costs.append(cost)
            before = cost
            # The last size is the largest, where what does not grow counts for least.
            rows = n / 2 if part == "exchange" else n
            made |= {name: size / rows for name, size in files.items()}
            print(f"{part:9} n = {n:>11,}  {cost.seconds:9.4f} s  {cost.peak_bytes / 2**20:9.1f} MiB", flush=True)
    print(f"\n{'part':9} {'instances':>11} {'ns/instance':>12} {'peak bytes/instance':>20}")
    for cost in costs:
        if cost.part != "step":
            each = cost.seconds / cost.instances * 1e9
            print(f"{cost.part:9} {cost.instances:11,} {each:12.1f} {cost.peak_bytes / cost.instances:20.1f}")
    for cost in costs:
        if cost.part == "step":
            print(f"step      {cost.instances:11,} {cost.seconds / STEPS * 1e6:8.0f} microseconds a step")
    held = state_bytes(1000)
    gradients = {name: gradient_bytes(name) for name in ("resnet18", "resnet34")}
    print(f"\nstate: {sum(held.values()):g} bytes per instance: {held}")
    print("made, bytes per instance or row: " + ", ".join(f"{name} {each:.1f}" for name, each in made.items()))
    for name, sizes in gradients.items():
        print(f"{name}: {sizes}")
    if arguments.save:
        contents = {
            **provenance(arguments.seed), "parts": list(arguments.parts), "global_batch": GLOBAL_BATCH,
            "local_batch": LOCAL_BATCH, "steps_in_step": STEPS, "state_bytes": held, "made_bytes": made,
            "gradient_bytes": gradients, "costs": [vars(cost) for cost in costs],
        }  # fmt: skip
        earlier = RESULTS / "scaling-cpu.json"
        if set(arguments.parts) != set(PARTS) and earlier.exists():
            contents = with_other_parts(contents, json.loads(earlier.read_text(encoding="utf-8")))
        write_result("scaling-cpu", contents)


def with_other_parts(result: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """That result with the parts that it lacks taken from the previous one; `kept` says where these come from."""
    costs = [cost for cost in before["costs"] if cost["part"] not in result["parts"]]
    kept = {name: before[name] for name in ("date", "hardware", "torch", "command", "git_revision")}
    return {
        **result,
        "made_bytes": {**before["made_bytes"], **result["made_bytes"]},
        "costs": [*costs, *result["costs"]],
        "kept": {"parts": list(dict.fromkeys(cost["part"] for cost in costs)), **kept},
    }


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
