"""What the growth benchmark computes, on sources of a few hundred images, and the page against its result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import scaling_model
from benchmarks.studies import growth, growth_table

FLAT = {"slope": 1e-9, "intercept": 2.0, "r_squared": 0.01, "slope_error": 1e-9, "rounds": 3}
RESULT: dict[str, Any] = {
    "batch": 64,
    "step_ms": {"1000": [2.0, 2.2, 2.1], "1000000": [2.0, 2.1, 2.2]},
    "step_line": FLAT,
    "between_epochs_s": {"1000": [0.1, 0.2, 0.3], "1000000": [1.0, 1.1, 1.2]},
    "between_epochs_line": {**FLAT, "slope": 1e-6},
    "peak_bytes": {"1000": [1e6], "1000000": [135e6]},
    "peak_line": {**FLAT, "slope": 134.0, "intercept": 1e6},
    "whole_epoch_s": {"1000": 0.25},
    "predicted_epoch_s": {"1000": 0.24, "1000000": 33.9},
    "meta_batch_ms": {}, "meta_batch_line": {**FLAT, "slope": 0.01}, "parameters_ms": {}, "parameters_line": FLAT,
    "workers_ms": {"1 x 64": [2.0, 2.0], "2 x 32": [1.6, 1.6]},
    "pruning_s": {"1300000": [0.4, 0.5, 0.6]},
}  # fmt: skip


def test_the_page_shows_what_the_committed_result_says() -> None:
    _, rest = scaling_model.PAGE.read_text(encoding="utf-8").split(growth_table.BEGIN)
    shown, _ = rest.split(growth_table.END)
    assert shown.strip() == growth_table.section(growth_table.measured()), (
        "run `python -m benchmarks.studies.growth_table --save`"
    )


def test_steps_and_what_lies_between_epochs_run(tmp_path: Path) -> None:
    trainer = growth.trainer_of(tmp_path / "run", 300)
    steps = growth.milliseconds_per_step({300: trainer}, steps=6, rounds=2)
    assert len(steps[300]) == 2
    assert len(growth.between_epochs(trainer, rounds=2, seed=0)) == 2
    assert len(trainer.history) == 3
    assert 64 <= trainer.mask.count < 300, "useless instances were not pruned"
    assert growth.whole_epoch(growth.trainer_of(tmp_path / "whole", 300)) > 0
