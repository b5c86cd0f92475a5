"""Planted junk against digits, in small."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.studies import planted_junk


def test_planted_junk_says_what_a_visit_tells(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planted_junk.main(planted_junk.Arguments(methods=("BDW meta_loss=pretext",), seeds=1, epochs=2, save="x"))
    (run,) = json.loads((results / "x.json").read_text())["runs"]
    assert run["d_prime"] > 0.1, "digits are told from junk"
    assert run["signal_to_noise"] > 0
    assert run["useful_kept"] > 0.5 > run["useless_kept"]
    assert 0 < run["cosine"] < 1
    assert f"d' of a visit {run['d_prime']}" in capsys.readouterr().out
