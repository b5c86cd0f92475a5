"""The benchmark of settled weights runs, and says of each run what it did."""

from __future__ import annotations

from pathlib import Path

from bdw.config import RunConfig
from bdw.data import load
from benchmarks.methods import LEARNING
from benchmarks.settled import PLAIN, in_turns
from sweeps.methods import chosen


def test_runs_in_turns(tmp_path: Path) -> None:
    texts = ["BDW eta=3000 lambda=0.3", "BDW eta=3000 lambda=0.3 settled_epochs=1"]
    base = RunConfig.from_flat({"epochs": 6, "evaluate_every": 6, "max_source": 128, "batch_size": 32, "device": "cpu"})
    problem = load(base.data, tmp_path)
    plain, whole, settled = in_turns(base, [PLAIN, *chosen(texts, LEARNING)], problem, str(tmp_path / "run"))
    assert (plain["ratio"], plain["epochs_learnt"], plain["useful"] + plain["junk"]) == (1.0, 0, 128)
    assert plain["weighting_seconds"] == plain["saved_seconds"] == 0.0
    assert whole["epochs_learnt"] == 6
    assert 2 <= settled["epochs_learnt"] < 6
    assert 32 <= whole["useful"] + whole["junk"] <= settled["useful"] + settled["junk"] < 128
    assert all(0 <= run["accuracy"] <= 1 for run in (plain, whole, settled))
