"""The epochs behind a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bdw.config.budget import Budget
from bdw.runs.break_even import NOTHING_YET, BreakEven
from bdw.runs.metrics import EpochReport


class History(list[EpochReport]):
    """A report per finished epoch, in order."""

    def __init__(self, budget: Budget):
        """`budget`: what the reports' `budget_share` is a share of; a resumed run may have a larger one than before."""
        super().__init__()
        self._budget = budget

    @property
    def done(self) -> tuple[int, int]:
        """Whole epochs behind the run, and source images that they trained on."""
        return len(self), self[-1].instances_seen if self else 0

    @property
    def best_epoch(self) -> int | None:
        """The epoch of the best validation score; None before the first evaluation."""
        return max((report.epoch for report in self if report.is_best), default=None)

    @property
    def balance(self) -> BreakEven:
        """What weighting has cost and pruning has saved up to the last whole epoch."""
        return BreakEven(self[-1].weighting_seconds, self[-1].saved_seconds) if self else NOTHING_YET

    def state_dict(self) -> list[dict[str, Any]]:
        """A row per epoch."""
        return [report.row() for report in self]

    def load_state_dict(self, state: Sequence[Mapping[str, Any]]) -> None:
        """Continue from `state_dict()`."""
        share = self._budget.share
        self[:] = [
            EpochReport.from_row({**row, "budget_share": share(row["epoch"], row["instances_seen"])}) for row in state
        ]
