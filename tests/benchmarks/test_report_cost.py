"""The parts that hear of a report are timed one by one."""

from __future__ import annotations

from benchmarks.studies.report_cost import measured


def test_every_part_hears_every_report() -> None:
    milliseconds = measured(trials=3, epochs=2)
    assert set(milliseconds) == {"early stopping", "study", "TensorBoard", "console"}
    assert all(cost > 0 for cost in milliseconds.values())
