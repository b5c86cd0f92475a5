"""What a run leaves behind, where (DESIGN section 6), and the refusal to write over another run."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import json
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bdw.atomic import write_text
from bdw.config import RunConfig
from bdw.errors import InputError
from bdw.measurements import EpochReport

# May differ between the two halves of a resumed run; everything else would make it another run.
FREE_ON_RESUME = frozenset(
    {
        "run_dir",
        "resume",
        "report",
        "epochs",
        "device",
        "keep_checkpoints",
        "checkpoint_every",
        "cache_dir",
        "data_root",
        "download",
    }
)
_REPORTED_PACKAGES = ("bdw", "torch", "torchvision", "numpy", "scipy", "scikit-learn")


class RunDirectory:
    """The paths of one run."""

    def __init__(self, path: Path):
        self.path = path
        self.config = path / "config.json"
        self.metrics = path / "metrics.csv"
        self.checkpoints = path / "checkpoints"
        self.encoder = path / "encoder.safetensors"
        self.instance_weights = path / "instance_weights.parquet"
        self.results = path / "results.parquet"

    def claim(self, config: RunConfig) -> None:
        """Make sure that this run may write here.

        `InputError` if the folder holds another run, or this one without `resume`; names what differs.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"run_dir: {self.path} is a file; allowed: a new folder")
        if not self.config.exists():
            foreign = [p.name for p in self.path.glob("*") if p.name not in ("packed", "checkpoints")]
            if foreign:
                raise InputError(
                    f"run_dir: {self.path} is not empty (holds {foreign[0]}); allowed: a new or empty folder"
                )
            return
        if not config.output.resume:
            raise InputError(
                f"run_dir: {self.path} already holds a run; choose another --run-dir, or continue it with --resume"
            )
        before, now = self.read_config()["config"], config.flat()
        different = [
            f"{name} was {before.get(name)!r} and is {now[name]!r}"
            for name in now
            if name not in FREE_ON_RESUME and before.get(name) != now[name]
        ]
        if different:
            raise InputError(
                f"run_dir: {self.path} holds another run, --resume cannot continue it: {'; '.join(different)}"
            )

    def read_config(self) -> dict[str, Any]:
        """The contents of config.json."""
        contents: dict[str, Any] = json.loads(self.config.read_text(encoding="utf-8"))
        return contents

    def write_config(self, config: RunConfig, source: dict[str, Any]) -> None:
        """Everything needed to repeat the run: settings, versions, revision, and what the source was."""
        contents = {
            "config": config.flat(),
            "versions": {"python": platform.python_version()} | {p: _version(p) for p in _REPORTED_PACKAGES},
            "git_revision": git_revision(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "source": source,
        }
        write_text(self.config, json.dumps(contents, indent=2) + "\n")

    def write_metrics(self, history: Sequence[EpochReport]) -> None:
        """metrics.csv, a row per epoch."""
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(history[0].row()), lineterminator="\n")
        writer.writeheader()
        writer.writerows(report.row() for report in history)
        write_text(self.metrics, text.getvalue())


def git_revision() -> str | None:
    """The commit that this code was checked out from, `-dirty` if changed since; none outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
