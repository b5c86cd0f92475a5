"""The pages that people look at: self-contained HTML written from the files of a run or of a sweep."""

from bdw.report.run_report import write_run_report
from bdw.report.sweep_report import write_sweep_report

__all__ = ["write_run_report", "write_sweep_report"]
