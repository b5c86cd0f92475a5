"""Cluster files of the repository, as they are and with their placeholders filled in."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
VALUES = {
    "IMAGE": "ami-0123456789abcdef0",
    "SECURITY_GROUP": "sg-0123456789abcdef0",
    "PROJECT": "some-project",
    "REGION": "us-central1",
    "ZONE": "us-central1-a",
    "HEAD_ACCOUNT": "bdw-head@some-project.iam.gserviceaccount.com",
    "WORKER_ACCOUNT": "bdw-worker@some-project.iam.gserviceaccount.com",
    "SUBNETWORK": "projects/some-project/regions/us-central1/subnetworks/bdw",
    "SUBSCRIPTION": "00000000-0000-0000-0000-000000000000",
    "IMAGE_VERSION": "24.04.2026052601",
    "HEAD": "192.0.2.1",
    "WORKERS": "192.0.2.2, 192.0.2.3",
    "USER": "somebody",
    "STORAGE": "s3://some-bucket/sweeps",
    "BUCKET": "some-bucket",
}


@pytest.fixture(scope="session")
def cluster_files() -> Path:
    return ROOT / "cluster"


@pytest.fixture(scope="session")
def filled(cluster_files: Path) -> Callable[..., str]:
    """The text of a cluster file with every placeholder replaced, by values of the test's own where given."""

    def fill(name: str, **own: str) -> str:
        text = (cluster_files / name).read_text(encoding="utf-8")
        return re.sub(r"REPLACE_ME_(\w+)", lambda match: {**VALUES, **own}[match[1]], text)

    return fill


@pytest.fixture(scope="session")
def config(filled: Callable[..., str]) -> Callable[[str], dict[str, Any]]:
    """A filled cluster file as Python sees it."""
    return lambda name: yaml.safe_load(filled(name))
