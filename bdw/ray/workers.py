"""A group of training workers, started by Ray Train over the machines of a cluster and started again when one dies."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from ray.train import ControllerError, FailureConfig, LoggingConfig, RunConfig, ScalingConfig, UserCallback
from ray.train.torch import TorchConfig, TorchTrainer

from bdw.errors import InputError
from bdw.parallel import collectives, gpu
from bdw.parallel.leaving import MAY_STAY_BEHIND

Outcome = dict[str, Any]
"""What the first worker returns: JSON types only."""

CONTROLLER_FAILURES = 3
"""How often Ray tries to start a group; its default is to try for ever."""
START_TIMEOUT_VARIABLE = "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"
WEEK = 7 * 24 * 3600.0
ANSWER_TIMEOUT = 600.0
"""Seconds after which a worker that does not answer its controller is taken for dead, if not sooner; Ray's default."""


@dataclass(frozen=True, kw_only=True)
class WorkerGroup:
    """How many workers, and what each of them takes."""

    num_workers: int
    min_workers: int | None = None
    """With at least this number of workers the run goes on; it takes in more as machines come."""
    cpus_per_worker: float = 1.0
    gpus_per_worker: float = 0.0

    @property
    def resources_per_worker(self) -> dict[str, float]:
        """Resources of a worker under Ray's names."""
        return {"CPU": self.cpus_per_worker} | ({"GPU": self.gpus_per_worker} if self.gpus_per_worker else {})

    @property
    def wants(self) -> str:
        """What all workers take together, in words."""
        return resources_in_words(self.num_workers * self.cpus_per_worker, self.num_workers * self.gpus_per_worker)

    @property
    def backend(self) -> str:
        """NCCL carries gradients between GPUs; gloo carries weights and reports, which are CPU tensors."""
        return "cpu:gloo,cuda:nccl" if self.gpus_per_worker else "gloo"


def resources_in_words(cpus: float, gpus: float) -> str:
    """`1 CPU`, or `4 CPUs and 0.5 GPUs`; CPUs to a tenth, since a waiting trial's own seat is a hundredth of one."""
    cpus = round(cpus, 1) or cpus
    wanted = {"CPU": cpus, "GPU": gpus}
    return " and ".join(f"{number:g} {name}{'' if number == 1 else 's'}" for name, number in wanted.items() if number)


class CheckedTorchConfig(TorchConfig):  # type: ignore[misc]
    """Ray's, but a reserved GPU that does not work is told before NCCL meets it.

    NCCL's own error would be one of the group's, after which it is started again.
    """

    @property
    def backend_cls(self) -> Any:
        """Called by Ray Train in its controller; what it returns is private to Ray 2.60, and tested."""
        return _CheckedBackend


class _CheckedBackend(TorchConfig().backend_cls):  # type: ignore[misc]
    def on_start(self, worker_group: Any, backend_config: TorchConfig) -> None:
        """Called with the workers' processes before their process group is made."""
        gpus = worker_group.get_resources_per_worker().get("GPU", 0)
        refusals = [said for said in worker_group.execute(_refusal, gpus=gpus) if said] if gpus else []
        if refusals:
            raise InputError(refusals[0])
        super().on_start(worker_group, backend_config)


def _refusal(gpus: float) -> str | None:
    """Why this worker cannot use its GPU, as a line; no exception, which would look like a failure of the group."""
    try:
        gpu.require_reserved("gpus_per_worker", gpus)
    except InputError as error:
        return str(error)
    return None


def in_background(action: Callable[[], Outcome]) -> Future[Outcome]:
    """Run the action in a daemon thread; the future gets what it returns or raises."""
    outcome: Future[Outcome] = Future()

    def run() -> None:
        try:
            result = action()
        except BaseException as error:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)

    threading.Thread(target=run, daemon=True, name=MAY_STAY_BEHIND).start()
    return outcome


def train_on(
    group: WorkerGroup,
    work: Callable[[dict[str, Any]], Outcome],
    settings: dict[str, Any],
    *,
    name: str,
    storage: str,
    max_failures: int,
    step_timeout: float,
    start_timeout: float | None = None,
    callbacks: Sequence[UserCallback] = (),
) -> Outcome:
    """Call `work(settings)` on every worker of a running process group; returns rank 0's result.

    The group waits for its machines for `start_timeout` seconds, `CONTROLLER_FAILURES` + 1 times (None: as long as the
    environment says). `storage` is where Ray Train keeps its own few files: a folder that all machines see, or an
    address. A worker that answers nothing for `step_timeout` seconds, ten minutes at most, counts as dead, whatever it
    was doing; the workers' watchdogs see training steps only. Raises `InputError` for a reserved GPU that cannot be
    used, at the first attempt, and `ray.train.TrainingFailedError` when the group has died more than `max_failures`
    times; machines that Ray announced to go do not count.
    """
    # Ray hands it to the controller and knows no argument for it.
    os.environ["RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S"] = str(min(step_timeout, ANSWER_TIMEOUT))
    if start_timeout is not None:
        os.environ[START_TIMEOUT_VARIABLE] = str(start_timeout)
    workers = group.num_workers if group.min_workers is None else (group.min_workers, group.num_workers)
    trainer = TorchTrainer(
        work,
        train_loop_config=settings,
        torch_config=CheckedTorchConfig(backend=group.backend, timeout_s=int(collectives.TIMEOUT.total_seconds())),
        scaling_config=ScalingConfig(
            num_workers=workers, use_gpu=group.gpus_per_worker > 0, resources_per_worker=group.resources_per_worker
        ),
        run_config=RunConfig(
            name=name,
            storage_path=storage,
            callbacks=list(callbacks),
            failure_config=FailureConfig(max_failures=max_failures, controller_failure_limit=CONTROLLER_FAILURES),
            logging_config=LoggingConfig("ERROR"),
        ),
    )
    try:
        outcome: Outcome = trainer.fit().return_value
    except ControllerError as error:
        if isinstance(error.controller_failure, InputError):
            raise error.controller_failure from None
        raise
    return outcome
