"""The parts that hear of a report are timed one by one."""

from __future__ import annotations

from benchmarks.studies.report_cost import measured


def test_every_part_hears_every_report() -> None:
    for milliseconds in measured(trials=3, epochs=2):
        assert set(milliseconds) == {"early stopping", "study", "TensorBoard", "console"}
        assert sum(milliseconds.values()) > 0
