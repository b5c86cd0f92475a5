"""Fixtures that several test packages use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real images; tests that need it are skipped, with the reason, where it is absent."""
    root = Path(os.environ.get("BDW_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not (root / "cifar10-train.npz").is_file():
        pytest.skip(f"real images not found at {root}; set BDW_SHARED_DATA to run this test")
    return root
