"""How Ray spreads a run over a machine or a cluster; what is computed does not depend on it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bdw.config.checks import is_finite_positive, require, require_at_least
from bdw.config.fields import Basic


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
    """GPUs of a worker."""
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
        require(self.max_failures >= 0, "max_failures", self.max_failures, "0 or more")
