from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bdw.report.outcome import Outcome
from bdw.report.run_files import RunFiles
from bdw.report.training_section import training_sections

ChangedRun = Callable[..., RunFiles]
VALIDATION, KEPT = "Validation accuracy by epoch", "Share of the source kept by epoch"
LOSS, META, BALANCE = "Training loss by epoch", "Meta-loss by epoch", "Seconds spent on weighting and saved by pruning"


def _curves(run: RunFiles) -> list[str]:
    sections = training_sections(Outcome.of(run))
    return [block.alternative.partition(", by epoch")[0] for section in sections for block in section.blocks]  # type: ignore[union-attr]


def test_curves_that_move_are_drawn(changed_run: ChangedRun) -> None:
    balance = {"weighting_seconds": [1.0, 2.0, 3.0, 4.0], "saved_seconds": [0.0, 0.5, 1.0, 2.0]}
    assert _curves(changed_run(metrics=balance)) == [VALIDATION, KEPT, LOSS, META, BALANCE]


@pytest.mark.parametrize(
    ("title", "metrics"),
    [
        (VALIDATION, {"validation_score": 0.8}),
        (VALIDATION, {"validation_score": [np.nan, np.nan, np.nan, 0.8]}),
        (KEPT, {"kept_fraction": 1.0}),
        (KEPT, {"kept_fraction": 0.6}),
        (LOSS, {"loss": 1.0}),
        (META, {"meta_loss": np.nan}),
        (BALANCE, {"saved_seconds": 0.0}),
    ],
)
def test_a_level_line_a_point_and_nothing_at_all_are_left_out(
    changed_run: ChangedRun, title: str, metrics: dict[str, object]
) -> None:
    balance = {"weighting_seconds": [1.0, 2.0, 3.0, 4.0], "saved_seconds": [0.0, 0.5, 1.0, 2.0]}
    drawn = _curves(changed_run(metrics=balance | metrics))
    assert title not in drawn
    assert len(drawn) == 4


def test_a_run_in_which_nothing_moved_has_no_such_section(changed_run: ChangedRun) -> None:
    still = {"validation_score": 0.8, "kept_fraction": 1.0, "loss": 1.0, "meta_loss": 2.0}
    assert training_sections(Outcome.of(changed_run(metrics=still))) == []
