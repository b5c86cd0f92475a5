"""`python -m analysis compare`: the comparison for those who use no notebook."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pandas as pd

from analysis.comparison import Comparison, compare
from analysis.critical_difference_diagram import draw_cd
from analysis.errors import AnalysisInputError, OptionError
from analysis.figure_style import save_figure
from analysis.results_table import metric_direction, read_results, rows_of_metric
from analysis.verdict import describe

BAD_INPUT = 2
"""Exit status where the input, not the program, is at fault."""


class _OneLineParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        exit status: 0, or 2 where the input is at fault (then with one line on stderr).
    """
    parser = _OneLineParser(prog="python -m analysis", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "compare", help="rank methods over domains, test, draw the critical-difference diagram"
    )
    command.add_argument("results", type=Path, help="results table, .parquet or .csv")
    command.add_argument("--metric", help="which metric of the table (may be left out where it holds one)")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write; made if absent")
    command.add_argument("--alpha", type=float, default=0.05, help="level of the tests (default: %(default)s)")
    command.add_argument("--title", default="", help="title of the diagram")
    options = parser.parse_args(arguments)
    try:
        written = _compare(options.results, options.metric, options.out, options.alpha, options.title)
    except AnalysisInputError as error:
        print(f"python -m analysis {options.command}: {error}", file=sys.stderr)
        return BAD_INPUT
    print(f"Written: {', '.join(str(path) for path in written)}")
    return 0


def _compare(results: Path, metric: str | None, out: Path, alpha: float, title: str) -> list[Path]:
    rows = rows_of_metric(read_results(results), metric)
    chosen = str(rows["metric"].iloc[0])
    comparison = compare(rows, higher_is_better=metric_direction(rows), alpha=alpha)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"out: {out} cannot be made ({error.strerror}); allowed: a directory, new or old") from error
    print(f"{chosen} ({'higher' if comparison.higher_is_better else 'lower'} is better), from {results}")
    print(describe(comparison))
    diagram = draw_cd(comparison, title=title)
    return [
        save_figure(diagram.figure, out / "cd.pdf"),
        save_figure(diagram.figure, out / "cd.png"),
        _write_text(out / "ranks.csv", _rank_table(comparison).to_csv(index=False)),
        _write_text(
            out / "comparison.json",
            json.dumps({"metric": chosen, "results": str(results), **comparison.to_dict()}, indent=2) + "\n",
        ),
    ]


def _rank_table(comparison: Comparison) -> pd.DataFrame:
    """One row a method, best first: its average rank, and Nemenyi's p-value against each method."""
    p_values = comparison.nemenyi_p_values.add_prefix("nemenyi_p_against_")
    return pd.concat([comparison.average_ranks, p_values], axis=1).rename_axis("method").reset_index()


def _write_text(path: Path, text: str) -> Path:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
    return path
