"""Rows that are kept as they come."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bdw.errors import InputError
from benchmarks.working_file import WorkingFile

KEY = ("method", "seed")


def test_a_benchmark_goes_on_from_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "below" / "rows.json"
    first = WorkingFile(path, {"images": (1, 2)}, KEY)
    assert first.add({"method": "a", "seed": 1, "pair": (0.5, 2)}) == {"method": "a", "seed": 1, "pair": [0.5, 2]}
    again = WorkingFile(path, {"images": (1, 2)}, KEY)
    assert again.find(method="a", seed=1) == first.rows[0]
    assert again.find(method="a", seed=2) is None
    again.add({"method": "a", "seed": 2})
    assert len(json.loads(path.read_text())["rows"]) == 2


def test_other_settings_are_refused(tmp_path: Path) -> None:
    WorkingFile(tmp_path / "rows.json", {"images": 1}, KEY).add({"method": "a", "seed": 1})
    with pytest.raises(InputError, match=r"begun with other settings \(images\); allowed"):
        WorkingFile(tmp_path / "rows.json", {"images": 2}, KEY)


def test_a_file_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text("[]")
    with pytest.raises(InputError, match="holds no rows of a benchmark"):
        WorkingFile(tmp_path / "rows.json", {}, KEY)
