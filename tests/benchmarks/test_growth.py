"""What the growth benchmark computes, on sources of a few hundred images, and the page against its result."""

from __future__ import annotations

from pathlib import Path

from benchmarks import page_blocks
from benchmarks.studies import growth, growth_table


def test_the_page_shows_what_the_committed_result_says() -> None:
    _, rest = page_blocks.PAGE.read_text(encoding="utf-8").split(growth_table.BEGIN)
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
