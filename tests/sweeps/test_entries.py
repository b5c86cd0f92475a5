"""What all entries of sweeps/ have in common."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SWEEPS = Path(__file__).resolve().parents[2] / "sweeps"
ENTRIES = [path for path in sorted(SWEEPS.glob("*.py")) if path.read_text().startswith("#!")]


@pytest.mark.parametrize("path", ENTRIES, ids=lambda path: path.name)
def test_an_entry_can_be_run_as_a_job(path: Path) -> None:
    """`ray job submit sweeps/x.py` hands the file itself to a shell."""
    assert os.access(path, os.X_OK)
    assert path.read_text().startswith("#!/usr/bin/env python\n")
