"""What a run leaves behind, where (docs/design.md, section 7), and the refusal to write over another run."""

from __future__ import annotations

import csv
import errno
import hashlib
import importlib.metadata
import io
import json
import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bdw.config import RunConfig
from bdw.config.identity import depends_on_length, differences
from bdw.data import Problem, Target
from bdw.data.leaks import held_out_images
from bdw.errors import InputError
from bdw.runs import checkpoint, log_file
from bdw.runs.metrics import EpochReport
from bdw.runs.trajectory import FOLDER as TRAJECTORY
from bdw.storage.atomic_write import write_text

REVISION_VARIABLE = "BDW_GIT_REVISION"
_FINAL = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOENT}
"""Errors that no waiting mends."""
_REPORTED_PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn")


class RunDirectory:
    """The paths of one run."""

    def __init__(self, path: Path):
        self.path = path
        self.config = path / "config.json"
        self.metrics = path / "metrics.csv"
        self.checkpoints = path / "checkpoints"
        self.trajectory = path / TRAJECTORY
        self.encoder = path / "encoder.safetensors"
        self.last_encoder = path / "encoder_last.safetensors"
        self.instance_weights = path / "instance_weights.parquet"
        self.task_weights = path / "task_weights.parquet"
        self.scorer = path / "scorer.safetensors"
        self.results = path / "results.parquet"
        self.signal = path / "signal.json"
        self.certificate = path / "certificate.json"

    def usefulness(self, target: str) -> Path:
        """How useful the source's images are for a target that they were valued for."""
        return self.path / f"usefulness_{_in_a_name(target)}.parquet"

    def encoder_for(self, target: str) -> Path:
        """The encoder of the best epoch of one of several targets."""
        return self.path / f"encoder_for_{_in_a_name(target)}.safetensors"

    def scorer_for(self, target: str) -> Path:
        """What scores new images for a target that the source was valued for."""
        return self.path / f"scorer_{_in_a_name(target)}.safetensors"

    def claim(self, config: RunConfig) -> None:
        """Make sure that this run may write here.

        `InputError` if the folder holds another run, this one without `resume`, or anything else; names what differs.
        A folder in which a run began but nothing was computed yet is free.
        """
        self._require_writable()
        resume, has_checkpoint = config.output.resume, checkpoint.last(self.checkpoints) is not None
        finished = self.results.exists()
        # A finished run whose checkpoints were deleted is a run that nobody may write over.
        if (has_checkpoint or finished) and not resume:
            hint = _or_continue(config, finished=finished) if has_checkpoint else ""
            raise InputError(
                f"run_dir: {self.path} already holds a {'finished run' if finished else 'run'}; choose another "
                f"--run-dir{hint}"
            )
        if not self.config.exists():
            # A hidden .tmp is what a killed process left of a file that it was writing.
            own = {"packed", "ray", self.checkpoints.name}
            ours = re.compile(rf"(\..*\.tmp|{log_file.PATTERN})$")
            foreign = [p.name for p in self.path.glob("*") if p.name not in own and not ours.match(p.name)]
            if foreign:
                raise InputError(
                    f"run_dir: {self.path} is not empty (holds {foreign[0]}); allowed: a new or empty folder"
                )
        elif has_checkpoint or finished:
            different = differences(self.read_config()["config"], config.flat())
            if different:
                raise InputError(
                    f"run_dir: {self.path} holds another run, --resume cannot continue it: {'; '.join(different)}"
                )

    def require_finished(self) -> None:
        """`InputError` unless the directory holds a run that has ended."""
        if not self.path.is_dir():
            raise InputError(f"run: {str(self.path)!r} does not exist; allowed: the directory of a run")
        if not self.config.is_file():
            raise InputError(f"run: {str(self.path)!r} holds no config.json; allowed: the directory of a run")
        if not (self.results.is_file() and self.encoder.is_file()):
            raise InputError(f"run: {self.path} has not finished; allowed: a finished run (--resume continues it)")

    def _require_writable(self) -> None:
        """`InputError` if the operating system will never let this run write here; what may pass is waited for later.

        Leaves nothing behind.
        """
        try:
            if self.path.exists() and not self.path.is_dir():
                raise InputError(f"run_dir: {self.path} is a file; allowed: a new folder")
            parent = next(folder for folder in (self.path, *self.path.parents) if folder.exists())
            with tempfile.TemporaryFile(dir=parent):
                pass
        except OSError as error:
            if error.errno in _FINAL:
                raise InputError(
                    f"run_dir: {self.path} cannot be written ({error.strerror}); allowed: a folder that can be"
                ) from error

    def read_config(self) -> dict[str, Any]:
        """The contents of config.json; `InputError` if it cannot be read."""
        try:
            contents: dict[str, Any] = json.loads(self.config.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"run_dir: {self.config} cannot be read: {error}") from error
        return contents

    def write_config(self, config: RunConfig, source: dict[str, Any]) -> None:
        """Everything needed to repeat the run: settings, versions, revision, the source, when it was resumed."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        before = self.read_config() if config.output.resume and self.config.exists() else {"created": now}
        contents = {
            "config": config.flat(),
            "versions": versions(),
            "git_revision": git_revision(),
            "created": before["created"],
            "resumed": [*before.get("resumed", []), *([now] if "config" in before else [])],
            "source": source,
            # What a time budget leads to depends on how fast this machine was, and epochs under one stay in the run.
            "repeatable": before.get("repeatable", True) and config.budget.time_budget is None,
        }
        write_text(self.config, json.dumps(contents, indent=2) + "\n")

    def write_metrics(self, history: Sequence[EpochReport]) -> None:
        """metrics.csv, a row per epoch."""
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(history[0].row()), lineterminator="\n")
        writer.writeheader()
        writer.writerows(report.row() for report in history)
        write_text(self.metrics, text.getvalue())

    def read_metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.csv as the epoch reports that they were; none without that file."""
        if not self.metrics.is_file():
            return []
        with self.metrics.open(encoding="utf-8", newline="") as file:
            return [{name: _number(text) for name, text in row.items()} for row in csv.DictReader(file)]


def _or_continue(config: RunConfig, *, finished: bool) -> str:
    """How to continue a run from its checkpoint, for the end of a message; empty if the run is over and cannot be made
    longer."""
    if not finished:
        return ", or continue it with --resume"
    if depends_on_length(config):
        return ""
    option = "--epochs" if config.budget.budget_images is None else "--budget-images"
    return f", or continue it with --resume and more {option}"


def source_facts(problem: Problem) -> dict[str, Any]:
    """What config.json says of the images, the (first) target's counted by split; `targets` where there are several."""
    source, target = problem.source, problem.target
    several = {
        "targets": {
            name: {"classes": list(each.classes), "images": _split_sizes(each)}
            for name, each in problem.targets.items()
        }
    }
    return {
        "count": len(source),
        "content_key": source.content_key,
        "path": str(source.path),
        "skipped": source.header["skipped"],
        "target_skipped": [entry for each in problem.targets.values() for entry in each.skipped],
        "remarks": list(source.remarks),
        "held_out_in_source": dict(problem.held_out_in_source),
        "leaks": None if problem.leaks is None else held_out_images(problem.leaks),
        "target_classes": list(target.classes),
        "target_images": _split_sizes(target),
        **(several if len(problem.targets) > 1 else {}),
    }


def _split_sizes(target: Target) -> dict[str, int]:
    return {split: len(getattr(target, split)) for split in ("train", "validation", "test")}


def git_revision() -> str | None:
    """The commit that this code was checked out from, `-dirty` if changed since.

    A copy that was uploaded to a cluster has no history; the environment variable `REVISION_VARIABLE` then names its
    commit. None where neither is known.
    """
    told = os.environ.get(REVISION_VARIABLE) or None
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip() or told
    except (OSError, subprocess.SubprocessError):
        return told


def versions() -> dict[str, str | None]:
    """Versions of Python and of the packages that results depend on; None for a package that is not installed."""
    own = {"python": platform.python_version(), "bdw": _version("beta-data-weighter")}
    return own | {package: _version(package) for package in _REPORTED_PACKAGES}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _number(text: str) -> float | int | bool:
    if text in ("True", "False"):
        return text == "True"
    return int(text) if text.lstrip("-").isdigit() else float(text)


def _in_a_name(target: str) -> str:
    """The target's name as a part of a file's; with a few digits where it is not the name itself, as for paths."""
    short = re.sub(r"[^A-Za-z0-9_-]+", "-", target)[-40:].strip("-")
    return short if short == target else f"{short}-{hashlib.sha256(target.encode()).hexdigest()[:6]}"
