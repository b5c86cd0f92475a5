"""A Ray to run on: the cluster that RAY_ADDRESS names (a job's own), or one on this machine while it is needed."""

from __future__ import annotations

import json
import math
import os
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from bdw.errors import InputError, Terminated
from bdw.ray.autoscaling import may_grow
from bdw.ray.environment import START_OR_UNSET, require_usable
from bdw.runs.directory import REVISION_VARIABLE, git_revision

ROOT = Path(__file__).resolve().parents[2]
DRIVER_RESOURCE = "trial_driver"
"""Custom resource of the node (the head) on which trials that only wait for their workers are placed."""
WORKER_VARIABLES = {
    # Reports of a group of workers wait until its controller polls them; Ray's default interval is 2 s.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # Image folders may be named by relative paths.
}
TRIAL_DRIVERS = 64  # Seats for trials that wait for their workers; the workers' CPUs are the limit.
OBJECT_STORE_BYTES = 256 * 2**20  # Images travel by path, never through the object store.


@dataclass(frozen=True)
class Cluster:
    """What there is to run on."""

    cpus: float
    gpus: float
    has_driver_resource: bool
    is_ours: bool
    """Started by us on this machine, so that it will not grow."""
    machines: tuple[tuple[float, float], ...] = ()
    """CPUs and GPUs of each machine that runs now; () if they are all one machine's."""
    grows: bool | None = None
    """Whether an autoscaler may start machines; None where that cannot be told."""

    @property
    def is_fixed(self) -> bool:
        """Whether what has no room now will never have any."""
        return self.is_ours or self.grows is False

    @property
    def in_words(self) -> str:
        """What there is."""
        there = f"{self.cpus:g} CPUs and {self.gpus:g} GPUs"
        if self.is_ours:
            return f"this machine has {there}"
        number = len(self.machines)
        where = "" if number == 0 else f" on {number} machine{'' if number == 1 else 's'}"
        return f"the cluster has {there}{where}{' and does not grow' if self.is_fixed else ''}"

    def room(self, cpus: float, gpus: float) -> int:
        """Number of workers with these resources that fit on the machines that run now, each on one of them; 0 on a
        cluster that has yet to start machines."""
        return sum(_fitting(machine, (cpus, gpus)) for machine in self.machines or ((self.cpus, self.gpus),))


def _fitting(there: tuple[float, float], wanted: tuple[float, float]) -> int:
    # 2 // 0.1 is 19 in floating point.
    return min(math.floor(has / each + 1e-9) for has, each in zip(there, wanted, strict=True) if each)


@contextmanager
def running_ray(*, worker_groups: bool) -> Iterator[Cluster]:
    """Connect to Ray, or start it, for the length of the block; `worker_groups`: whether Ray Train is to be used.

    SIGTERM stays with who had it before: Ray would take it, and end the process in the middle of what it does. A Ray
    that this process is connected to already is used as it is, and left running.

    Raises `InputError` where no cluster answers at RAY_ADDRESS or lets us in, or Ray could not make its sockets, and
    `Terminated` for SIGTERM while Ray starts.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # Tune's new printer has no silence.
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Ctrl-C must reach us, not leave a half-ended sweep.
    # Tune would write every trial's config and last report every ten seconds, for a restore that has no use here.
    os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "inf")
    require_usable(os.environ)
    if ray.is_initialized():
        yield _cluster(is_ours=False)
        return
    address = os.environ.get("RAY_ADDRESS", "")
    sigterm = signal.getsignal(signal.SIGTERM)
    try:
        try:
            if address:
                _join(address)
            else:
                # Ray Train's clean-up of workers asks the dashboard; without one it complains every second.
                _start_here(dashboard=worker_groups)
        except SystemExit as left:  # Of Ray's own handler, with the signal's number.
            raise Terminated if left.code == signal.SIGTERM else left from None
        if callable(sigterm) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, sigterm)
        yield _cluster(is_ours=not address)
    finally:
        ray.shutdown()


def _cluster(*, is_ours: bool) -> Cluster:
    there = ray.cluster_resources()
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return Cluster(
        there.get("CPU", 0.0),
        there.get("GPU", 0.0),
        DRIVER_RESOURCE in there,
        is_ours=is_ours,
        machines=tuple((node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in nodes),
        grows=None if is_ours else may_grow(),
    )


def _join(address: str) -> None:
    try:
        ray.init(address=address, runtime_env=_job_environment(), log_to_driver=False, logging_level="error")
    except Exception as error:  # Ray's are of many kinds: no cluster, another version, a token that does not fit.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise InputError(f"RAY_ADDRESS: cannot join {address!r}: {lines[0].rstrip('.')}; {START_OR_UNSET}") from error


def _start_here(*, dashboard: bool) -> None:
    """Ray's workers are children of this process and inherit its environment."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ.update(WORKER_VARIABLES, PYTHONPATH=os.pathsep.join(paths))
    # A local Ray asks for a token. Without one of this process's own it would leave one in the home directory, which
    # changes how later clusters behave.
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    ray.init(
        address="local",
        include_dashboard=dashboard,
        resources={DRIVER_RESOURCE: TRIAL_DRIVERS},
        object_store_memory=OBJECT_STORE_BYTES,
        log_to_driver=False,
        logging_level="error",
    )


def _job_environment() -> dict[str, Any]:
    """Ship this checkout to the workers, unless the job was submitted with a working directory of its own."""
    submitted = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")).get("runtime_env") or {}
    given = submitted.get("env_vars", {})  # Ray refuses a variable that job and driver both set.
    revision = git_revision()
    wanted = WORKER_VARIABLES | ({REVISION_VARIABLE: revision} if revision else {})
    environment: dict[str, Any] = {"env_vars": {k: v for k, v in wanted.items() if k not in given}}
    # Where the package is installed there is no checkout to ship, and the cluster must have it installed, too.
    if "working_dir" not in submitted and (ROOT / "pyproject.toml").is_file():
        environment["working_dir"] = str(ROOT)
    return environment
