"""Small runs of all methods at one pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from bdw.errors import InputError
from benchmarks import one_pass, planted_runs
from benchmarks.one_pass import DRAWN, IN_TIME, METHODS, NEAREST, ORACLE, PLAIN


def _arguments(folder: Path, **fields: object) -> one_pass.Arguments:
    settings = {
        "scripts": ("greek",), "seeds": (1,), "images": 640, "draw_every": 64, "letters": 0.2, **fields,
    }  # fmt: skip
    return one_pass.Arguments(folder=folder, **settings)  # type: ignore[arg-type]


def test_methods_go_through_as_many_images_and_rows_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {row["method"]: row for row in one_pass.main(_arguments(tmp_path))}
    assert tuple(rows) == METHODS
    assert all(640 <= row["instances_seen"] < 640 + 32 for name, row in rows.items() if name != IN_TIME)
    share = min(1, rows[PLAIN]["processor_seconds"] / rows[DRAWN]["processor_seconds"])
    assert rows[IN_TIME]["instances_seen"] == pytest.approx(max(64, 640 * share), abs=33)
    assert rows[DRAWN]["useful_drawn"] > 0.2
    assert rows[NEAREST]["kept_fraction"] == rows[ORACLE]["kept_fraction"] == 0.2
    assert rows[NEAREST]["seconds_before"] > 0
    monkeypatch.setattr(planted_runs, "measured", None)
    assert {row["method"]: row for row in one_pass.main(_arguments(tmp_path))} == rows


def test_an_unknown_method(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="methods: 'drawn' is not known"):
        one_pass.main(_arguments(tmp_path, methods=("drawn",)))
