"""`python -m bdw fit`: train one encoder, say how it goes and where everything lies."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist

from bdw import evaluation
from bdw.config import RunConfig, WorkersConfig
from bdw.data import packing_bar
from bdw.diagnostics.diagnosis import Diagnosis, summary
from bdw.parallel import collectives
from bdw.parallel.stop_requests import NoticeBoard, terminations
from bdw.report import write_run_report
from bdw.report.outcome import Outcome
from bdw.report.run_files import read_run
from bdw.report.verdict import verdict
from bdw.runs import checkpoint
from bdw.runs.backup import RunBackup
from bdw.runs.console import ConsoleProgress
from bdw.runs.directory import RunDirectory
from bdw.training.summary import headline
from bdw.training.trainer import Trainer


def fit(config: RunConfig, workers: WorkersConfig) -> None:
    """Train, write everything that docs/design.md, section 7, names, and say where it lies."""
    run = RunDirectory(Path(config.output.run_dir).resolve())
    try:
        if workers.num_workers is None:
            with terminations() as notice_board:
                is_first = _fit_here(config, notice_board)
        else:
            # Ray takes seconds to import, and most runs do without.
            from bdw.ray.fit import fit_on_workers

            fit_on_workers(config, workers)
            is_first = True
    except KeyboardInterrupt:
        if os.environ.get("RANK", "0") == "0":
            print(f"\n{_how_to_go_on(run)}", flush=True)
        raise
    if is_first:
        if config.output.report:
            write_run_report(run.path)
            RunBackup(run, config.output).push_files()
        print(_closing_lines(run, config.output.report), flush=True)


def _fit_here(config: RunConfig, notice_board: NoticeBoard) -> bool:
    """Train in this process, with its fellows under torchrun; whether it is the one that speaks."""
    with _process_group():
        _train(config, notice_board)
        return collectives.rank() == 0


def _train(config: RunConfig, notice_board: NoticeBoard) -> None:
    first = collectives.rank() == 0
    progress = ConsoleProgress(measure=evaluation.measure(config.evaluation.measure))
    with packing_bar() if first else contextlib.nullcontext() as bar:
        trainer = Trainer(config, listener=progress, packing=bar, notice_board=notice_board)
    if first:
        print(headline(trainer.state, trainer.config, trainer.problem, trainer.device), flush=True)
    progress.recall(trainer.history)
    with progress if first else contextlib.nullcontext():
        for _ in trainer.epochs():
            pass


@contextlib.contextmanager
def _process_group() -> Iterator[None]:
    """The process group of torchrun's workers; nothing without torchrun."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    # Weights and reports are exchanged as CPU tensors even where gradients travel between GPUs.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=collectives.TIMEOUT)
    try:
        yield
    finally:
        dist.destroy_process_group()
        # The model's wrapper, part of a cycle, holds the group too. If it lived until the interpreter's end, gloo's
        # threads would let go of the last tensors there, and that aborts the process.
        gc.collect()


def _how_to_go_on(run: RunDirectory) -> str:
    last = checkpoint.last(run.checkpoints)
    if last is None:
        return "stopped before the first checkpoint; the same command starts again"
    return f"the last checkpoint is {last}; the same command with --resume continues from it"


def _closing_lines(run: RunDirectory, has_report: bool) -> str:
    """The report's verdict, signal and noise where they were asked for, and where everything lies."""
    findings = verdict(Outcome.of(read_run(run.path)))
    # The last word of a label: "How sure" needs too much room here.
    lines = [f"{finding.label.split()[-1].lower():<7} {finding.text}" for finding in findings]
    if run.signal.is_file():
        lines.append(f"signal  {summary(Diagnosis.from_json(run.signal.read_text(encoding='utf-8')))}")
    lines += [f"encoder {run.encoder}", f"weights {run.instance_weights}", f"metrics {run.metrics}"]
    return "\n".join([*lines, f"report  {run.path / 'report.html'}"] if has_report else lines)
