"""`python -m bdw fit`: train one encoder, say how it goes and where everything lies."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import torch
import torch.distributed as dist

from bdw import checkpoint, collectives, evaluation
from bdw.config import RunConfig
from bdw.data import packing_bar
from bdw.interruptions import terminations
from bdw.progress import ConsoleProgress
from bdw.report import write_run_report
from bdw.run_directory import RunDirectory
from bdw.trainer import Trainer


def fit(config: RunConfig) -> None:
    """Train, write everything that DESIGN section 6 names, and say where it lies."""
    run = RunDirectory(Path(config.output.run_dir).resolve())
    with _process_group():
        first = collectives.rank() == 0
        try:
            progress = ConsoleProgress(measure=evaluation.measure(config.evaluation.measure))
            with terminations() as notice_board:
                with packing_bar() if first else contextlib.nullcontext() as bar:
                    trainer = Trainer(config, listener=progress, packing=bar, notice_board=notice_board)
                if first:
                    print(headline(trainer), flush=True)
                with progress if first else contextlib.nullcontext():
                    for _ in trainer.epochs():
                        pass
        except KeyboardInterrupt:
            if first:
                print(f"\n{_how_to_go_on(run)}", flush=True)
            raise
        if first:
            if config.output.report:
                write_run_report(run.path)
            print(_closing_lines(run, config.output.report), flush=True)


@contextlib.contextmanager
def _process_group() -> Iterator[None]:
    """The process group of torchrun's workers; nothing without torchrun."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    # Weights and reports are exchanged as CPU tensors even where gradients travel between GPUs.
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def headline(trainer: Trainer) -> str:
    """The first lines of a run: data, model and precision, device and why, batches, directory."""
    config, problem, workers = trainer.config, trainer.problem, collectives.size()
    source, device = problem.source, trainer.device
    skipped = len(source.header["skipped"]) + len(problem.target.skipped)
    parameters = sum(parameter.numel() for parameter in trainer.learner.model.parameters())
    why = "as asked" if config.optimiser.device != "auto" else "no GPU found" if device.type == "cpu" else "found"
    batch = config.optimiser.batch_size
    target_batch = trainer.learner.meta_loss.images_per_batch if trainer.learner.meta_loss else 0
    threads = f", {torch.get_num_threads()} thread(s) each" if device.type == "cpu" else ""
    lines = [
        f"source  {config.data.source}: {len(source):,} images of "
        f"{' x '.join(map(str, source.images.shape[1:]))} (channels x height x width)",
        f"target  {config.data.target}: {len(problem.target.classes)} classes; {len(problem.target.train):,} train, "
        f"{len(problem.target.validation):,} validation, {len(problem.target.test):,} test images",
        f"model   {config.model.encoder} with the {config.model.pretext} head: {parameters:,} parameters, float32",
        f"device  {device} ({why}), {workers} worker(s){threads}",
        f"batch   {batch} source images a step ({batch / workers:g} a worker), "
        f"{target_batch * workers} target images a step",
        f"weights {config.weighter.weighter}" + ("" if config.weighter.prune else ", without pruning"),
        f"run     {trainer.run.path}" + (f", continued after {trainer.position}" if any(trainer.position) else ""),
    ]
    if skipped:
        example = (*source.header["skipped"], *problem.target.skipped)[0]
        lines.append(
            f"skipped {skipped} image(s) that cannot be decoded, such as {example['name']} ({example['reason']}); "
            f"all are listed in {source.path / 'header.json'} or the target's"
        )
    return "\n".join(lines)


def _how_to_go_on(run: RunDirectory) -> str:
    last = checkpoint.last(run.checkpoints)
    if last is None:
        return "stopped before the first checkpoint; the same command starts again"
    return f"the last checkpoint is {last}; the same command with --resume continues from it"


def _closing_lines(run: RunDirectory, has_report: bool) -> str:
    results = pq.read_table(run.results).to_pylist()
    kept = results[0]["kept_fraction"] if results else float("nan")
    figures = [f"{row['metric'].replace('_', ' ').replace('auroc', 'AUROC')} {row['value']:.4f}" for row in results]
    lines = [
        f"done    {', '.join(figures)}; kept {100 * kept:.1f} % of the source",
        f"encoder {run.encoder}",
        f"weights {run.instance_weights}",
        f"metrics {run.metrics}",
    ]
    return "\n".join([*lines, f"report  {run.path / 'report.html'}"] if has_report else lines)
