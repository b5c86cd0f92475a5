"""The image for Kubernetes, as far as can be seen without building it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def instructions(cluster_files: Path) -> list[tuple[str, str]]:
    """Instruction and its arguments, continued lines joined."""
    lines = [line for line in (cluster_files / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    split = [line.split(maxsplit=1) for line in joined.splitlines() if line]
    known = {"FROM", "RUN", "USER", "ENV", "WORKDIR", "COPY"}
    assert {word for word, _ in split} == known
    return [(word, rest) for word, rest in split]


def test_base_has_a_version(instructions: list[tuple[str, str]]) -> None:
    bases = [rest for word, rest in instructions if word == "FROM"]
    assert bases == ["python:3.12.12-slim-bookworm"]


def test_does_not_run_as_root(instructions: list[tuple[str, str]]) -> None:
    assert [rest for word, rest in instructions if word == "USER"] == ["ray"]
    words = [word for word, _ in instructions]
    # Only the system's packages and the user itself are made by root.
    assert words.index("USER") < words.index("COPY")
    assert words[: words.index("USER")].count("RUN") == 1
    assert all("--chown=ray:ray " in rest for word, rest in instructions if word == "COPY")


def test_everything_that_is_copied_is_there_and_sent(instructions: list[tuple[str, str]], cluster_files: Path) -> None:
    copied = set()
    for word, rest in instructions:
        if word == "COPY":
            copied |= set(rest.split()[1:-1])
    assert copied == {"LICENSE", "README.md", "analysis", "bdw", "constraints.txt", "pyproject.toml", "sweeps"}
    assert all((cluster_files.parent / name).exists() for name in copied)
    sent = (cluster_files / "Dockerfile.dockerignore").read_text().splitlines()
    assert {line[1:] for line in sent if line.startswith("!")} == copied
    assert "*" in sent


def test_packages_are_the_pinned_ones(instructions: list[tuple[str, str]]) -> None:
    commands = [rest for word, rest in instructions if word == "RUN"]
    assert all("--constraint constraints.txt" in command for command in commands if "pip install" in command)
    assert not [command for command in commands if re.search(r"curl|wget \S*:|https?:|\| *(ba)?sh|nightly", command)]


def test_gpus_are_given_by_the_device_plugin(instructions: list[tuple[str, str]]) -> None:
    """`NVIDIA_VISIBLE_DEVICES=all` in an image shows all of a node's GPUs to pods that have none."""
    assert not [rest for _, rest in instructions if "NVIDIA_VISIBLE_DEVICES" in rest]
    assert [
        rest for word, rest in instructions if word == "ENV" and "NVIDIA_DRIVER_CAPABILITIES=compute,utility" in rest
    ]
