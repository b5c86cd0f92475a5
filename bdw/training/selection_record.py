"""What the run's selector chose before training, and what that cost: known to a run that is resumed, too."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from bdw.weighting.selection.cost import Cost
from bdw.weighting.selection.protocol import Selection

METRICS = {
    "seconds": "selection_seconds",
    "images": "selection_images",
    "shared_seconds": "selection_shared_seconds",
    "shared_images": "selection_shared_images",
    "trained_images": "selection_trained_images",
}
"""Fields of a cost -> their names in results.parquet."""


class SelectionRecord:
    """Of a run with a selector; empty until it has chosen."""

    def __init__(self) -> None:
        self.cost: Cost | None = None
        self.count = 0
        """Images chosen."""

    def keep(self, selection: Selection) -> None:
        """Remember what was chosen."""
        self.cost, self.count = selection.cost, int(selection.chosen.sum())

    def metrics(self) -> dict[str, float]:
        """The cost by the names of results.parquet; nothing without one."""
        return {} if self.cost is None else {METRICS[name]: value for name, value in vars(self.cost).items()}

    def state_dict(self) -> dict[str, float]:
        """Numbers that `load_state_dict` continues from."""
        assert self.cost is not None, "a selector chooses before the first checkpoint"
        return {"count": self.count, **dataclasses.asdict(self.cost)}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Continue from `state_dict()`."""
        self.count = int(state["count"])
        self.cost = Cost(
            seconds=float(state["seconds"]),
            images=int(state["images"]),
            shared_seconds=float(state["shared_seconds"]),
            shared_images=int(state["shared_images"]),
            trained_images=int(state.get("trained_images", 0)),  # Runs of earlier versions did not count them.
        )
