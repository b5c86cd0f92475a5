"""`python -m analysis compare`: the comparison from the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, get_args

from analysis.comparison_folder import write_comparison
from analysis.errors import AnalysisInputError
from analysis.results_table import metric_direction, read_results, rows_of_metric
from analysis.statistics.missing import MissingPolicy
from analysis.wishes import Order, Wishes

BAD_INPUT = 2
"""Exit status where the input, not the program, is at fault."""


class _OneLineParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {message}\n")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


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
    command.add_argument(
        "results",
        type=Path,
        help="results table, .parquet or .csv: wide (a row a data set, a column a method), or long (a column of "
        "methods, one of data sets, one of scores)",
    )
    command.add_argument("--metric", help="which metric of the table (may be left out where it holds one)")
    direction = command.add_mutually_exclusive_group()
    direction.add_argument(
        "--higher-is-better", action="store_true", default=None, help="where the table does not say so itself"
    )
    direction.add_argument(
        "--lower-is-better", dest="higher_is_better", action="store_false", default=None, help="likewise"
    )
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write; made if absent")
    command.add_argument("--alpha", type=float, default=0.05, help="level of the tests (default: %(default)s)")
    command.add_argument("--title", default="", help="title of the figures")
    command.add_argument(
        "--missing",
        choices=[policy.replace(" ", "-") for policy in get_args(MissingPolicy)],
        default="error",
        help="what to do about (method, domain) cells without a score, or with NaN alone (default: %(default)s)",
    )
    command.add_argument("--control", metavar="METHOD", help="also compare every method with this one alone")
    command.add_argument(
        "--rope",
        type=float,
        metavar="SIZE",
        help="largest difference of no practical interest, in the metric's unit (0.01: one point of accuracy); "
        "asks for the probabilities that a method is better, or equivalent",
    )
    command.add_argument(
        "--best", choices=("left", "right"), default="left", help="side of the best rank (default: %(default)s)"
    )
    command.add_argument(
        "--percent", action="store_true", help="scores are shares; show them times 100, and take --rope in points"
    )
    command.add_argument(
        "--order",
        choices=get_args(Order),
        help="of methods in the table and the figure of scores (default: table: as in the file; figure: best first)",
    )
    command.add_argument(
        "--width", type=float, metavar="INCHES", help="of all figures (default: 3.3, a paper's column, or more)"
    )
    command.add_argument("--font", metavar="FAMILY", help="of the figures, such as serif, or an installed font's name")
    options = parser.parse_args(arguments)
    try:
        wishes = Wishes(
            alpha=options.alpha,
            missing=next(policy for policy in get_args(MissingPolicy) if policy.replace(" ", "-") == options.missing),
            control=options.control,
            rope=options.rope,
            best=options.best,
            title=options.title,
            font=options.font,
            width=options.width,
            percent=options.percent,
            order=options.order,
        )
        table = read_results(options.results, metric=options.metric, higher_is_better=options.higher_is_better)
        rows = rows_of_metric(table, options.metric, allow_missing=wishes.missing != "error")
        written = write_comparison(rows, options.out, wishes, source=str(options.results), say=_say)
    except AnalysisInputError as error:
        print(f"python -m analysis {options.command}: {error}", file=sys.stderr)
        return BAD_INPUT
    better = "higher" if metric_direction(rows) else "lower"
    print(f"{rows['metric'].iloc[0]} ({better} is better), from {options.results}")
    print("\n".join(written.lines))
    print(f"Written: {', '.join(str(path) for path in written.paths)}")
    return 0
