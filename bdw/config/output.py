"""What a run leaves behind, and where."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bdw.config.checks import YEAR, is_finite_positive, require
from bdw.config.fields import Basic, Free


@dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """What a run leaves behind, and where."""

    run_dir: Basic[Free[str]] = "runs/default"
    """Folder of this run; must be new, empty, or hold this very run for --resume."""
    resume: Basic[Free[bool]] = False
    """Continue from the last checkpoint in run_dir."""
    checkpoint_every: Free[int] = 1
    """Epochs (budget in images: passes over the whole source) between two checkpoints; the last epoch is always
    saved."""
    checkpoint_minutes: Free[float] = 30.0
    """Save in the middle of an epoch, too, when the last checkpoint is so many minutes old."""
    keep_checkpoints: Free[int] = 2
    """Last checkpoints to keep, those in the middle of an epoch included; the best epoch's, if it was saved, is kept
    besides."""
    storage_path: Basic[Free[str | None]] = None
    """Folder, s3://bucket/path or gs://bucket/path that gets a copy of the run directory with every checkpoint, from
    which --resume continues on another machine. Default: no copy."""
    storage_patience: Free[float] = 60.0
    """Seconds for which a disk or storage that fails is tried again. A copy that fails in the middle of a run is made
    up for at the next checkpoint."""
    step_timeout: Free[float] = 1800.0
    """Seconds after which a training step that does not end is taken for a hang: the process ends with a trace, so that
    whoever started it can start it again. With --num-workers a worker that answers nothing for so long (ten minutes at
    most) is replaced as well, whatever it was doing."""
    record_trajectory: Free[bool] = False
    """`beta`: keep log a and log b of every image after every epoch (8 bytes each), from which `python -m bdw replay`
    tells what every rho and lambda would have pruned. Best with --no-prune."""
    diagnose_signal: Free[bool] = False
    """Measure how much of what the meta-gradient says about an image is signal and how much noise (25 bytes an image,
    little time): signal.json, a section of the report and a line at the end. Measures single visits. With
    `shared_derivatives` or `normalise_weights` it cannot forecast pruning. Changes nothing about the run."""
    trackers: Free[tuple[str, ...]] = ()
    """Trackers that get every epoch's numbers beside metrics.csv: `tensorboard` (files in the run directory), `wandb`,
    `mlflow`, `trackio` (extras of the same names)."""
    report: Free[bool] = True
    """Write report.html at the end."""

    def __post_init__(self) -> None:
        for name in ("checkpoint_every", "keep_checkpoints"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name, unit in (("checkpoint_minutes", "minutes"), ("step_timeout", "seconds")):
            value = getattr(self, name)
            require(is_finite_positive(value), name, value, f"a positive number of {unit}")
        require(self.step_timeout <= YEAR, "step_timeout", self.step_timeout, f"up to a year, {YEAR} seconds")
        require(0 <= self.storage_patience < math.inf, "storage_patience", self.storage_patience, "0 or more seconds")
