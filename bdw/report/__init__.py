"""The pages that people look at: self-contained HTML written from the files of a run or of a sweep.

Importing this package does no work: what draws is loaded when a page is first written.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bdw.report.run_report import write_run_report
    from bdw.report.sweep_report import write_sweep_report

__all__ = ["write_run_report", "write_sweep_report"]

_HOMES = {"write_run_report": "bdw.report.run_report", "write_sweep_report": "bdw.report.sweep_report"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'bdw.report' has no attribute {name!r}")
