"""The guide names files that are there, and the same values as they have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml


@pytest.fixture(scope="module")
def guide(cluster_files: Path) -> str:
    return (cluster_files / "README.md").read_text(encoding="utf-8")


def test_every_file_is_there(guide: str, cluster_files: Path) -> None:
    named = set(re.findall(r"cluster/[\w./-]*\w", guide)) | {
        f"cluster/{name}" for name in re.findall(r"\]\((\S+?)\)", guide)
    }
    assert [name for name in named if not (cluster_files.parent / name).exists()] == []
    there = {f"cluster/{path.relative_to(cluster_files)}" for path in cluster_files.rglob("*.y*ml")}
    assert there <= named


def test_every_cluster_is_checked_before_and_ended_after(guide: str) -> None:
    for name in re.findall(r"ray up (cluster/\S+\.yaml)\b", guide):
        assert f"python -m sweeps.jobs.cluster_file {name} && ray up {name}" in guide
        assert f"ray down {name}" in guide
    for name in re.findall(r"kubectl apply -f (\S+)", guide):
        assert f"python -m sweeps.jobs.cluster_file {name} && kubectl apply -f {name}" in guide
        assert f"kubectl delete -f {name}" in guide


def test_what_is_left_is_found_by_the_right_name(guide: str, cluster_files: Path) -> None:
    """The tags and labels by which left-over machines are found are those that the machines get."""
    for cloud in ("aws", "gcp"):
        name = yaml.safe_load((cluster_files / f"{cloud}.yaml").read_text())["cluster_name"]
        mark = f"Name=tag:ray-cluster-name,Values={name}" if cloud == "aws" else f"labels.ray-cluster-name={name}"
        assert mark in guide
    azure = yaml.safe_load((cluster_files / "azure.yaml").read_text())
    assert f"az group delete --name {azure['provider']['resource_group']}" in guide


def test_nothing_in_it_opens_a_machine(guide: str) -> None:
    assert "0.0.0.0" not in guide
    assert "LoadBalancer" not in guide
