"""What a fresh clone relies on: the Makefile's targets, pins, licence, flags that do not appear by accident."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bdw.config import WorkersConfig, field_owners

ROOT = Path(__file__).resolve().parents[1]
TEXT_SUFFIXES = {".py", ".md", ".toml", ".txt", ".cff", ".yaml", ".yml", ".html", ".css", ".csv", ".ipynb", ".json", ""}
# Somebody's home or a tool's own folder; `/tmp` and `/dev/shm` are the same everywhere.
MACHINE_PATH = re.compile(r"(?<![\w.~])/(?:work|root|home/\w+|Users/\w+|mnt/\w+|data/\w+|tmp/w)/")
INTERNET_ADDRESS = re.compile(r"https?://", re.IGNORECASE)


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", requirement)
    assert match, requirement
    return normalised(match[0])


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def tracked_files() -> list[Path]:
    """All files that git has or would take."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout: cannot tell the repository's files from others")
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_every_direct_dependency_and_tool_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    assert {requirement_name(requirement) for requirement in wanted} - set(pins()) == set()


def test_constraints_are_plain_pins() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert not line or line.startswith("#") or re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line), line
    assert not INTERNET_ADDRESS.search((ROOT / "constraints.txt").read_text())


def test_dependencies_come_from_no_particular_host() -> None:
    for name in ("pyproject.toml", "constraints.txt", "Makefile", ".ci/run", ".pre-commit-config.yaml"):
        text = (ROOT / name).read_text()
        assert not re.search(r"index-url|find-links|trusted-host|https?://|--hash|\bfile:", text), name


@pytest.mark.parametrize(
    "target", ["setup", "sweep", "up", "down", "test", "test-fast", "lint", "format", "bench", "help"]
)
def test_makefile_has_the_target(target: str) -> None:
    assert re.search(rf"^{target}:.*## \w", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_make_help_lists_the_targets() -> None:
    listed = subprocess.run(["make", "-C", ROOT], capture_output=True, text=True, check=True).stdout
    assert "make sweep" in listed
    assert "prints where the report lies" in listed


def test_continuous_integration_can_be_run() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/usr/bin/env bash\n")
    subprocess.run(["bash", "-n", script], check=True)


def test_licence_is_the_one_that_the_package_names() -> None:
    licence = (ROOT / "LICENSE").read_text()
    assert "Apache License" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"] == "Apache-2.0"
    assert "license: Apache-2.0" in (ROOT / "CITATION.cff").read_text()


def test_version_is_the_same_everywhere() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()


def test_no_file_names_somebodys_machine() -> None:
    found = []
    for path in tracked_files():
        if path.suffix in TEXT_SUFFIXES and path != Path(__file__):
            lines = path.read_text(encoding="utf-8").splitlines()
            found += [
                f"{path.relative_to(ROOT)}:{i}: {line}" for i, line in enumerate(lines, 1) if MACHINE_PATH.search(line)
            ]
    assert found == []


def test_no_file_is_large() -> None:
    """Beyond 1 MiB a file is data, which does not belong here, or an embedded picture too large for a README."""
    assert [str(path) for path in tracked_files() if path.stat().st_size > 2**20] == []


FIT_FLAGS = [
    "batch-size", "budget-images", "budget-unit", "burn-in-epochs", "cache-dir", "cdf-threshold", "centred-derivatives",
    "checkpoint-every", "checkpoint-minutes", "compile", "cpus-per-worker", "crop-padding", "crop-size", "data-root",
    "data-seed", "density-threshold", "device", "diagnose-signal", "direction-every", "direction-momentum",
    "direction-parameters", "download", "encoder", "epochs", "evaluate-every", "final-measures", "fine-tuning-epochs",
    "flip", "gpus-per-worker", "image-size", "keep-checkpoints", "kept-share", "layer", "learn-share", "learning-rate",
    "log-bound", "lr-gamma", "lr-milestones", "max-failures", "max-iterations", "max-source", "max-train-per-class",
    "measure", "meta-every", "meta-loss", "min-kept", "min-workers", "momentum", "monitors", "natural-direction",
    "nearest-beta", "neighbours", "normalise-weights", "num-workers", "precision", "preset", "pretext", "prune",
    "queries", "record-trajectory", "relative-derivatives", "report", "resume", "run-dir", "schedule", "seed",
    "shared-derivatives", "shots", "source", "start-timeout", "step-timeout", "storage-path", "storage-patience",
    "tangent-views", "target", "target-batch", "target-fraction", "target-margin", "target-statistics", "time-budget",
    "validation-fraction", "warm-up", "ways", "weight-decay", "weight-lr", "weight-momentum", "weighted-loss",
    "weighter", "weights-file",
]  # fmt: skip


def test_a_new_flag_is_a_decision() -> None:
    """Every config field is a flag. A new one must earn its place here and in the help text."""
    names = {"preset", *field_owners(), *(field.name for field in dataclasses.fields(WorkersConfig))}
    assert sorted(name.replace("_", "-") for name in names) == FIT_FLAGS


def test_help_shows_every_flag() -> None:
    shown = subprocess.run([sys.executable, "-m", "bdw", "fit", "--help"], capture_output=True, text=True, cwd=ROOT)
    assert shown.returncode == 0
    flags = set(re.findall(r"--([a-z][a-z-]*)", shown.stdout))
    assert flags >= set(FIT_FLAGS)
    assert flags - set(FIT_FLAGS) <= {"help"} | {f"no-{flag}" for flag in FIT_FLAGS}
