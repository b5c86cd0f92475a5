"""Sweeps on Ray Tune and Optuna: entries for published experiments, and `sweeps.tune` for a search of one's own."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweeps.tuning.api import tune
    from sweeps.tuning.result_grid import ResultGrid

__all__ = ["ResultGrid", "tune"]

# Ray takes seconds to import, and the jobs' modules do without.
_HOMES = {"ResultGrid": "sweeps.tuning.result_grid", "tune": "sweeps.tuning.api"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'sweeps' has no attribute {name!r}")
