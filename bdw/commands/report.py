"""`python -m bdw report`: the page of a run or of a sweep, written anew from its files."""

from __future__ import annotations

from pathlib import Path

from bdw.errors import InputError
from bdw.report import write_run_report, write_sweep_report


def report(directory: Path) -> None:
    """Write report.html of a run, or of a sweep where trials.csv lies, and say where it is."""
    if not directory.is_dir():
        raise InputError(f"directory: {str(directory)!r} does not exist; allowed: a run or sweep directory")
    is_sweep = (directory / "trials.csv").exists()
    page = write_sweep_report(directory, title=directory.resolve().name) if is_sweep else write_run_report(directory)
    print(f"report  {page}")
