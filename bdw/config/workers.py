"""How Ray spreads a run over a machine or a cluster; what is computed does not depend on it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bdw.config.checks import is_finite_positive, require, require_at_least
from bdw.config.fields import Basic
from bdw.errors import InputError


@dataclass(frozen=True, kw_only=True)
class WorkersConfig:
    """How Ray spreads a run over a machine or a cluster; what is computed does not depend on it."""

    num_workers: Basic[int | None] = None
    """Workers, started by Ray on this machine or on the cluster that RAY_ADDRESS names. Default: this process."""
    min_workers: int | None = None
    """Go on with so few workers while machines are gone, with more when they come. Default: num_workers."""
    cpus_per_worker: float = 1.0
    """CPUs of a worker."""
    gpus_per_worker: Basic[float] = 0.0
    """GPUs of a worker; a part of one only where a single worker trains."""
    max_failures: int = 3
    """Failures without any progress in between after which the run is given up; announced pre-emptions do not count."""
    start_timeout: float = 900.0
    """Seconds to wait for machines that a cluster has yet to start; tried three times."""

    def __post_init__(self) -> None:
        for name in ("num_workers", "min_workers"):
            require_at_least(name, getattr(self, name), 1, "at least 1, or none")
        if self.min_workers is not None:
            require(
                self.num_workers is not None and self.min_workers <= self.num_workers,
                "min_workers",
                self.min_workers,
                f"at most num_workers = {self.num_workers}",
            )
        for name in ("cpus_per_worker", "start_timeout"):
            value = getattr(self, name)
            require(is_finite_positive(value), name, value, "a positive number")
        require(0 <= self.gpus_per_worker < math.inf, "gpus_per_worker", self.gpus_per_worker, "0 or more")
        if self.num_workers is not None:
            require_gpu_share("gpus_per_worker", self.gpus_per_worker, self.num_workers)
        require(self.max_failures >= 0, "max_failures", self.max_failures, "0 or more")


def require_gpu_share(name: str, gpus: float, num_workers: int) -> None:
    """`InputError` if workers cannot have `gpus` GPUs each; `name` is the option that says so.

    A worker takes a part of one GPU, or whole ones (Ray). Several workers must not meet on one GPU: NCCL, which carries
    their gradients, refuses that ("Duplicate GPU detected").
    """
    if gpus > 1 and gpus != int(gpus):
        raise InputError(f"{name}: {gpus:g} GPUs for a worker cannot work; allowed: up to 1, or a whole number")
    if num_workers > 1 and 0 < gpus <= 0.5:
        raise InputError(
            f"{name}: {gpus:g} of a GPU for each of {num_workers} workers cannot work, since NCCL refuses two workers "
            "on one GPU; allowed: 0, or a GPU for each worker"
        )
