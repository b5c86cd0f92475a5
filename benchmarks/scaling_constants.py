"""What `benchmarks.scaling` measured, as the constants from which docs/scaling.md is computed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from benchmarks.harness import RESULTS

LARGE = 10_000_000
"""Instances from which no table fits into a cache."""
AFTER_AN_EPOCH = {"exchange": 1, "catch up": 1, "CDF": 1, "table": 2, "digest": 1, "order": 1}
"""How often every worker does each part between the last step of an epoch and the first of the next."""


@dataclass(frozen=True)
class Constants:
    """Costs of one instance, on one worker."""

    instances: int
    """In the largest source that was measured."""
    fewest: int
    """In the smallest."""
    state: float
    """Bytes held all the time."""
    seconds: Mapping[str, float]
    """By part."""
    peak: Mapping[str, float]
    """Bytes beyond what was held before, by part; results included."""
    checkpoint: float
    """Bytes on disk."""
    parquet: float
    """Bytes on disk."""
    exchanged: float
    """Bytes that the worker that touched the row sends."""
    gradients: Mapping[str, Mapping[str, int]]
    """Bytes by encoder."""
    step: float
    """Seconds of the weighter per instance of a batch."""

    @classmethod
    def of(cls, result: Mapping[str, Any]) -> Self:
        """From the contents of results/scaling-cpu.json.

        Bytes are those of the largest source at which a part was measured. Seconds are the lowest of the sources from
        `LARGE` on: smaller ones profit from caches, and what others did on the machine differs from size to size.
        """
        largest: dict[str, Mapping[str, Any]] = {}
        seconds: dict[str, float] = {}
        for cost in sorted(result["costs"], key=lambda cost: cost["instances"]):
            part, each = cost["part"], cost["seconds"] / cost["instances"]
            seconds[part] = min(each, seconds.get(part, each)) if _is_large(largest.get(part)) else each
            largest[part] = cost
        return cls(
            instances=max(cost["instances"] for cost in largest.values()),
            fewest=min(cost["instances"] for cost in result["costs"]),
            state=sum(result["state_bytes"].values()),
            seconds=seconds,
            peak={part: cost["peak_bytes"] / cost["instances"] for part, cost in largest.items()},
            checkpoint=result["made_bytes"]["checkpoint"],
            parquet=result["made_bytes"]["parquet"],
            exchanged=result["made_bytes"]["handed_over"],
            gradients=result["gradient_bytes"],
            step=largest["step"]["seconds"] / result["steps_in_step"] / result["local_batch"],
        )

    @property
    def order(self) -> float:
        """Bytes of the epoch's order as int64, held while the epoch lasts."""
        return 8.0

    @property
    def end_of_epoch_bytes(self) -> float:
        """State, order and the largest temporaries of what follows an epoch."""
        return self.state + self.order + max(self.peak[part] for part in AFTER_AN_EPOCH)

    @property
    def resume_bytes(self) -> float:
        """State, and the copies that a checkpoint passes through on its way to every worker."""
        return self.state + self.peak["resume"]


def measured() -> Constants:
    """The constants of the committed result."""
    return Constants.of(json.loads((RESULTS / "scaling-cpu.json").read_text(encoding="utf-8")))


def _is_large(cost: Mapping[str, Any] | None) -> bool:
    return cost is not None and cost["instances"] >= LARGE
