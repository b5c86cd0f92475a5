"""`fit --num-workers`: one run on a group of workers, followed from the console that asked for it."""

from __future__ import annotations

import logging
import math
import os
import re
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
import torch
from ray.train import TrainingFailedError, UserCallback

from bdw import evaluation
from bdw.config import RunConfig, WorkersConfig, identity
from bdw.data import packing_bar
from bdw.errors import InputError, RunError, RunStopped, Terminated
from bdw.parallel import collectives
from bdw.parallel.stop_requests import INTERRUPTED, Notice, NoticeBoard, terminations
from bdw.ray.cluster import Cluster, running_ray
from bdw.ray.mailbox import Postman, open_mailbox
from bdw.ray.preemption import announced
from bdw.ray.trial import on_this_machine
from bdw.ray.workers import CONTROLLER_FAILURES, Outcome, WorkerGroup, in_background, train_on
from bdw.runs.backup import RunBackup
from bdw.runs.checkpoint import Position
from bdw.runs.console import ConsoleProgress
from bdw.runs.directory import RunDirectory
from bdw.storage.remote_folder import absolute, below
from bdw.training.checks import check
from bdw.training.summary import headline
from bdw.training.trainer import Trainer

SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_TO_CLEAN_UP = 1.5
"""Workers that have not begun to train may remove what they have half packed within this time."""
Settings = dict[str, Any]


def fit_on_workers(config: RunConfig, workers: WorkersConfig) -> None:
    """Train to the last epoch on the workers, and bring the run's files here if they are not.

    A group that dies is started again from the newest checkpoint, as long as it makes progress. After SIGTERM or Ctrl-C
    the workers save and stop; while none of them trains, all ends at once.

    Raises `InputError` for what cannot work, `RunError` for what failed for good, `RunStopped` after a notice and
    `KeyboardInterrupt` after Ctrl-C, both with a checkpoint, `Terminated` or `KeyboardInterrupt` if nothing was trained
    yet.
    """
    assert workers.num_workers is not None
    group = WorkerGroup(
        num_workers=workers.num_workers,
        min_workers=workers.min_workers,
        cpus_per_worker=workers.cpus_per_worker,
        gpus_per_worker=workers.gpus_per_worker,
    )
    run = RunDirectory(Path(config.output.run_dir).resolve())
    storage = config.output.storage_path
    config = identity.named(config.replace(run_dir=str(run.path), storage_path=storage and absolute(storage)))
    check(config)
    copy = RunBackup(run, config.output)
    copy.claim(config)
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", str(workers.start_timeout))
    progress = ConsoleProgress(measure=evaluation.measure(config.evaluation.measure))
    progress.say("starting Ray and the workers, which takes some seconds")
    # Ray takes SIGTERM for itself when it starts, so ours comes after it.
    with running_ray(worker_groups=True) as cluster, terminations(answers=False) as notice_board, _mark(run) as mark:
        # From here on signals are notices. Ray's C++ aborts the process where a signal's handler raises inside it.
        notice_board()
        _require_room(cluster, group, workers.start_timeout, progress)
        console_end = _ConsoleEnd(progress)
        settings = {
            "config": config.flat(),
            "threads": max(1, round(group.cpus_per_worker)),
            "mailbox": console_end.mailbox,
            "folder": str(Path.cwd()),
            "mark": None if config.output.storage_path else str(mark),
        }
        while True:
            console_end.await_group()
            try:
                outcome = console_end.follow(
                    lambda: train_on(
                        group,
                        _work,
                        settings,
                        name="workers",
                        storage=str(run.path / "ray") if config.output.storage_path is None else _ray_files(config),
                        max_failures=workers.max_failures,
                        step_timeout=config.output.step_timeout,
                        callbacks=[_SayWhatFailed(console_end.mailbox)],
                    ),
                    notice_board,
                )
                break
            except TrainingFailedError as error:
                if not console_end.starts or max(console_end.starts) == console_end.starts[0]:
                    raise RunError(_why(error, group, cluster)) from error
                progress.say(f"the workers made progress and failed again; starting anew: {_last_line(error)}")
    if "input_error" in outcome:
        raise InputError(outcome["input_error"])
    if "run_error" in outcome:
        raise RunError(outcome["run_error"])
    copy.bring_back()
    if "stopped" in outcome:
        raise KeyboardInterrupt if console_end.was_interrupted else RunStopped(*outcome["stopped"])


def _work(settings: Settings) -> Outcome:
    """What each worker does; its process group is there already."""
    torch.set_num_threads(settings["threads"])
    if Path(settings["folder"]).is_dir():
        # Relative paths mean here what they meant where the run was asked for.
        os.chdir(settings["folder"])
    config = on_this_machine(settings["config"])
    postman = Postman(settings["mailbox"]) if collectives.rank() == 0 else None
    try:
        if settings["mark"] is not None:
            collectives.on_first(lambda: _require_shared_folder(Path(settings["mark"])))
        if postman is not None:
            postman.on_begun()
            logging.getLogger("bdw").addHandler(_PostsWarnings(postman))

        def notices() -> Notice | None:
            # Who asked for the run to stop comes first: a machine that goes may be announced for a long time.
            return (postman.notice() if postman else None) or announced()

        trainer = Trainer(
            config,
            listener=postman,
            packing=postman.on_packing if postman else None,
            notice_board=notices,
            storage_is_known=True,
        )
        if postman is not None:
            postman.on_start(headline(trainer.state, trainer.config, trainer.problem, trainer.device), trainer.position)
        for _ in trainer.epochs():
            pass
    except InputError as error:
        return {"input_error": str(error)}
    except RunError as error:
        return {"run_error": str(error)}
    except RunStopped as stopped:
        return {"stopped": (stopped.reason, stopped.checkpoint)}
    except Terminated:
        # The other workers still wait for this one to pack; the console, which asked for it, ends them.
        assert postman is not None
        postman.on_ended()
    return {}


class _PostsWarnings(logging.Handler):
    """Sends the package's warnings to the console."""

    def __init__(self, postman: Postman):
        super().__init__(logging.WARNING)
        self._postman = postman

    def emit(self, record: logging.LogRecord) -> None:
        """Called by the logger."""
        self._postman.on_warning(f"{record.levelname.lower()}: {record.getMessage()}")


class _ConsoleEnd:
    """This end of the mailbox: shows what the workers post while the group is trained on in another thread."""

    def __init__(self, progress: ConsoleProgress):
        self.mailbox = open_mailbox()
        self.starts: list[Position] = []
        """Where each group of workers began."""
        self.was_interrupted = False
        self._reached = Position(0)
        """The furthest of all starts, of which there is a checkpoint."""
        self._has_begun = False
        """Whether the first worker of the group is there."""
        self._has_ended = False
        """Whether the first worker has ended before it trained, since it was asked to."""
        self._letters: Any = None
        self._progress = progress

    def await_group(self) -> None:
        """Forget the group before."""
        self.starts.clear()
        self._has_begun = False

    def follow(self, train: Any, notice_board: NoticeBoard) -> Outcome:
        """Returns or raises what `train` does. The first SIGTERM or Ctrl-C asks the workers to save and stop, a second
        one breaks off.

        While no worker trains there is nothing to save, and whatever is waited for may never come. Then the first one
        raises, after `SECONDS_TO_CLEAN_UP` at most.
        """
        asked: str | None = None
        end = math.inf
        with packing_bar() as packing, self._progress:
            outcome = in_background(train)
            while not outcome.done():
                wait([outcome], SECONDS_BETWEEN_LOOKS)
                self._show(packing, timeout=SECONDS_BETWEEN_LOOKS)
                notice = notice_board()
                if notice is not None and asked is None:
                    asked, end = notice.reason, time.monotonic() + SECONDS_TO_CLEAN_UP
                    self.was_interrupted = asked == INTERRUPTED
                    what = "asking the workers to save and stop; once more breaks off" if self.starts else "ending"
                    self._progress.say(f"{asked}: {what}")
                    self.mailbox.ask_to_stop.remote(asked)
                waits = self.starts or (self._has_begun and time.monotonic() < end)
                if asked is not None and (self._has_ended or not waits):
                    raise self._untrained(asked)
            for _ in ("those that were asked for already", "the last"):
                self._show(packing, timeout=None)
        if asked is not None and self._has_ended:
            raise self._untrained(asked)
        return outcome.result()

    def _untrained(self, reason: str) -> BaseException:
        """What ends a run none of whose workers trains."""
        if self.was_interrupted:
            return KeyboardInterrupt()
        return RunStopped(reason, str(self._reached)) if self._reached > Position(0) else Terminated()

    def _show(self, packing: Any, *, timeout: float | None) -> None:
        """What the mailbox holds. It may take many seconds to begin, and is not waited for any longer than that."""
        self._letters = self._letters or self.mailbox.take.remote()
        ready, _ = ray.wait([self._letters], timeout=timeout)
        if not ready:
            return
        letters, self._letters = ray.get(self._letters), None
        progress = self._progress
        for topic, contents in letters:
            match topic:
                case "step":
                    progress.on_step(*contents)
                case "epoch":
                    progress.on_epoch(*contents)
                case "measure":
                    progress.on_measure(*contents)
                case "packing":
                    packing(*contents)
                case "begun":
                    self._has_begun = True
                case "position":
                    self.starts.append(contents[0])
                    self._reached = max(self._reached, contents[0])
                case "ended":
                    self._has_ended = True
                case _:
                    progress.say(*contents)


class _SayWhatFailed(UserCallback):  # type: ignore[misc]
    """Tells the console why workers are started again; runs in Ray Train's controller."""

    def __init__(self, mailbox: Any):
        self._mailbox = mailbox

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Called when workers have failed or died, before they are started again or given up."""
        for rank, error in sorted(worker_exceptions.items()):
            # Ray wraps the death of an actor in errors of several private types.
            died = re.search(r"actor (is dead|died)", str(error)) is not None
            line = f"worker {rank} {'died, or its machine did' if died else f'failed: {_last_line(error)}'}"
            self._mailbox.post.remote(("line", (line,)))
        line = "the workers go on from the newest checkpoint, unless this was one failure too many"
        self._mailbox.post.remote(("line", (line,)))


def _require_room(cluster: Cluster, group: WorkerGroup, start_timeout: float, progress: ConsoleProgress) -> None:
    """`InputError` if the group will never fit; on a cluster that may grow, a line that says what is waited for."""
    least = group.min_workers or group.num_workers
    if cluster.room(group.cpus_per_worker, group.gpus_per_worker) >= least:
        return
    wanted = (
        f"{least} worker(s) want {least * group.cpus_per_worker:g} CPUs and {least * group.gpus_per_worker:g} GPUs; "
    )
    there = f"{cluster.cpus:g} CPUs and {cluster.gpus:g} GPUs"
    if cluster.is_ours:
        raise InputError(f"num_workers: {wanted}this machine has {there}")
    patience = CONTROLLER_FAILURES * start_timeout
    progress.say(f"{wanted}the cluster has {there} now; waiting up to {patience:.0f} s for more")


def _why(error: TrainingFailedError, group: WorkerGroup, cluster: Cluster) -> str:
    if "startup timed out" in str(error):
        there = ray.cluster_resources()
        return (
            f"num_workers: {group.num_workers} worker(s) of {group.resources_per_worker} did not start in time; the "
            f"cluster has {there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} GPUs"
        )
    return f"the workers failed too often without progress: {_last_line(error)}"


@contextmanager
def _mark(run: RunDirectory) -> Iterator[Path]:
    """A file in the run directory by which workers elsewhere can tell that they see the same folder."""
    run.path.mkdir(parents=True, exist_ok=True)
    mark = run.path / f".driver.{uuid.uuid4().hex[:8]}.tmp"
    mark.touch()
    try:
        yield mark
    finally:
        mark.unlink(missing_ok=True)


def _require_shared_folder(mark: Path) -> None:
    """`InputError` on a machine that does not see the folder in which the run was asked for."""
    deadline = time.monotonic() + 5  # File servers may take a moment to show a new file.
    while not mark.exists():
        if time.monotonic() > deadline:
            raise InputError(
                f"run_dir: {mark.parent} is not the same folder on the workers' machines; allowed: a folder that all "
                "machines share, or any with --storage-path s3://... or gs://..."
            )
        time.sleep(0.2)


def _ray_files(config: RunConfig) -> str:
    assert config.output.storage_path is not None
    return below(config.output.storage_path, "ray")


def _last_line(error: BaseException) -> str:
    """The line of a traceback that has its message."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip()[:300] if lines else type(error).__name__
