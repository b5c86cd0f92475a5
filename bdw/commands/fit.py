"""`bdw fit` and `bdw.fit`: one function trains; the command adds the console, Python gets a result."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from bdw import evaluation
from bdw.config import RunConfig, WorkersConfig
from bdw.config.fields import coerced, fields_of
from bdw.config.preset_registry import require_one_length
from bdw.data import packing_bar
from bdw.data.source_and_targets import LabelledProgress
from bdw.diagnostics.diagnosis import Diagnosis, summary
from bdw.errors import RunStopped
from bdw.parallel import collectives, torchrun
from bdw.parallel.stop_requests import INTERRUPTED, NoticeBoard, no_notice, terminations
from bdw.report import write_run_report
from bdw.report.outcome import Outcome
from bdw.report.run_files import read_run
from bdw.report.verdict import verdict
from bdw.runs import checkpoint
from bdw.runs.backup import RunBackup
from bdw.runs.console import ConsoleProgress
from bdw.runs.directory import RunDirectory
from bdw.runs.metrics import ProgressListener
from bdw.training.fit import FitResult
from bdw.training.summary import headline, notes
from bdw.training.trainer import Trainer

logger = logging.getLogger(__name__)


def fit(config: RunConfig | None = None, *, listener: ProgressListener | None = None, **settings: Any) -> FitResult:
    """Train an encoder, as the command `bdw fit` does with the same settings, and hand over what comes of it.

        result = bdw.fit(source="photos/", target="labelled/", epochs=3)

    Args:
        config: all settings; None for those of the preset that the command would take.
        listener: hears of steps, epochs and measurements.
        settings: fields by name, or by dotted path in a mapping (`**{"weighter.cdf_threshold": 0.3}`), `preset` and
            those of `WorkersConfig` among them; they change the config if one is given.

    Returns:
        the encoder, the instance weights and the history; the run directory holds all of docs/design.md, section 7.

    What is not used, and what else is odd of the data, is logged as a warning. Raises `InputError` for settings that
    cannot work, and what else `bdw.iterate` raises.
    """
    config, workers = settled(settings, config)
    train(config, workers, listener=listener, on_start=_log_notes)
    return FitResult.read(Path(config.output.run_dir).resolve())


def fit_from_console(config: RunConfig, workers: WorkersConfig) -> None:
    """Train, say on the console how it goes, and at the end where everything lies."""
    run = RunDirectory(Path(config.output.run_dir).resolve())
    progress = ConsoleProgress(measure=evaluation.measure(config.evaluation.measure))
    is_here = workers.num_workers is None
    is_first = not is_here or torchrun.place(os.environ)[0] == 0
    packing, console = contextlib.ExitStack(), contextlib.ExitStack()

    def on_start(trainer: Trainer) -> None:
        packing.close()
        print(headline(trainer.state, trainer.config, trainer.problem, trainer.device), flush=True)
        progress.recall(trainer.history)
        console.enter_context(progress)

    try:
        with console, packing, terminations() if is_here else contextlib.nullcontext(no_notice) as notice_board:
            bar = packing.enter_context(packing_bar()) if is_first and is_here else None
            train(config, workers, listener=progress, packing=bar, notice_board=notice_board, on_start=on_start)
    except (KeyboardInterrupt, RunStopped) as stopped:
        if isinstance(stopped, RunStopped) and stopped.reason != INTERRUPTED:
            raise
        if is_first:
            print(f"\n{_how_to_go_on(run)}", flush=True)
        raise KeyboardInterrupt from None
    if is_first:
        print(_closing_lines(run, config.output.report), flush=True)


def train(
    config: RunConfig,
    workers: WorkersConfig,
    *,
    listener: ProgressListener | None = None,
    packing: LabelledProgress | None = None,
    notice_board: NoticeBoard = no_notice,
    on_start: Callable[[Trainer], None] = lambda trainer: None,
) -> None:
    """Train to the last epoch, here or on Ray's workers, and write everything that docs/design.md, section 7, names.

    `packing` shows how far decoding is; `on_start` is called once, by the first process, before the first step. Neither
    is used with Ray's workers, which show their progress on the console.
    """
    if workers.num_workers is not None:
        # Ray takes seconds to import, and most runs do without.
        from bdw.ray.fit import fit_on_workers

        fit_on_workers(config, workers)
        is_first = True
    else:
        with _process_group(config.hardware.device):
            is_first = collectives.rank() == 0
            trainer = Trainer(
                config, listener=listener, packing=packing if is_first else None, notice_board=notice_board
            )
            if is_first:
                on_start(trainer)
            for _ in trainer.epochs():
                pass
    if is_first and config.output.report:
        run = RunDirectory(Path(config.output.run_dir).resolve())
        write_run_report(run.path)
        RunBackup(run, config.output).push_files()


def settled(settings: Mapping[str, Any], config: RunConfig | None = None) -> tuple[RunConfig, WorkersConfig]:
    """The config with these settings, and that of the workers; what is not given is as the command line has it.

    Raises `InputError` for names and values that cannot work, and for two lengths of one run.
    """
    own = {name: field for field in fields_of("workers", WorkersConfig) for name in (field.name, field.path)}
    workers = {own[name].name: coerced(name, value, own[name].type) for name, value in settings.items() if name in own}
    rest = {name: value for name, value in settings.items() if name not in own}
    require_one_length(*(rest.get(name, rest.get(f"budget.{name}")) for name in ("epochs", "budget_images")))
    run = RunConfig.from_flat(rest) if config is None else config.replace(**rest)
    return run, WorkersConfig(**workers)


def _log_notes(trainer: Trainer) -> None:
    for line in notes(trainer.config, trainer.problem):
        logger.warning(line)


@contextlib.contextmanager
def _process_group(device: str) -> Iterator[None]:
    """The process group of torchrun's workers; nothing without torchrun, or where the caller has made one."""
    if dist.is_initialized() or torchrun.place(os.environ)[1] == 1:
        yield
        return
    if torch.cuda.is_available() and device != "cpu":
        torchrun.require_a_gpu_each(os.environ, torch.cuda.device_count())
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
    outcome = Outcome.of(read_run(run.path))
    findings = verdict(outcome)
    # The last word of a label: "How sure" needs too much room here.
    lines = [f"{finding.label.split()[-1].lower():<7} {finding.text}" for finding in findings]
    if run.signal.is_file():
        lines.append(f"signal  {summary(Diagnosis.from_json(run.signal.read_text(encoding='utf-8')))}")
    lines.append(f"encoder {run.encoder}")
    if outcome.last is not None:
        lines.append(f"last    {run.last_encoder}")
    lines += [f"weights {run.instance_weights}", f"metrics {run.metrics}"]
    return "\n".join([*lines, f"report  {run.path / 'report.html'}"] if has_report else lines)
