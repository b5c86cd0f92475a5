"""What may be asked of a comparison beside its metric: tests, and how its figures and tables look."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

import pandas as pd
from matplotlib import rc_context
from matplotlib.font_manager import fontManager

from analysis.errors import NotFiniteError, OptionError, listing, shown
from analysis.figures.figure_style import COLUMN_WIDTH, FULL_WIDTH, require_width
from analysis.statistics.missing import MissingPolicy

Order = Literal["table", "best", "name"]
_GENERIC = ("sans-serif", "serif", "monospace")


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """The options of a comparison beside the metric. Raises `OptionError` for those that cannot work."""

    alpha: float = 0.05
    missing: MissingPolicy = "error"
    control: str | None = None
    """A method that all others are compared with."""
    rope: float | None = None
    """Largest difference of no practical interest, in the metric's unit: asks for Bayesian probabilities."""
    best: Literal["left", "right"] = "left"
    """Side of the diagrams."""
    title: str = ""
    font: str | None = None
    """Family of the figures' font; None: matplotlib's own."""
    width: float | None = None
    """Inches of all figures; None: a paper's column, or more where methods are many."""
    percent: bool = False
    """Whether scores are shares that are shown times 100."""
    order: Order | None = None
    """Of the methods in the table and the figure of scores; None: as in the file there, best first here."""

    def __post_init__(self) -> None:
        if self.width is not None:
            require_width(self.width)
        if self.order is not None and self.order not in get_args(Order):
            raise OptionError(f"order: {shown(self.order)}; allowed: {listing(get_args(Order))}")
        if self.font is not None and self.font not in _GENERIC:
            known = fontManager.get_font_names()
            if self.font not in known:
                near = difflib.get_close_matches(self.font, known, n=3) or known
                raise OptionError(f"font: {shown(self.font)} is not installed; allowed: such as {listing(near)}")

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Within, figures are drawn in the wanted font."""
        with rc_context({} if self.font is None else {"font.family": [self.font]}):
            yield

    def width_for(self, num_methods: int) -> float:
        """Inches: what was asked for, or one column of a paper while that is readable, then both, then a screen."""
        if self.width is not None:
            return self.width
        return COLUMN_WIDTH if num_methods <= 7 else min(50.0, max(FULL_WIDTH, 0.22 * num_methods))

    def as_shown(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows of a results table with values in the unit that is shown, and a metric that names it.

        Raises:
            NotFiniteError: percent is asked for, and a value is no share.
        """
        if not self.percent:
            return rows
        outside = rows[rows["value"].notna() & ~rows["value"].between(-1, 1)]
        if len(outside):
            row = outside.iloc[0]
            raise NotFiniteError(
                f"percent: value {row['value']:g} of ({row['method']}, {row['domain']}); allowed: shares from -1 to 1"
            )
        return rows.assign(value=100 * rows["value"], metric=rows["metric"].astype(str) + " (%)")

    def in_order(self, methods: Sequence[str], best_first: Sequence[str]) -> list[str]:
        """The methods in the order that is asked for, as they are without one.

        Args:
            methods: in the order of the file.
            best_first: the same by average rank.
        """
        match self.order:
            case "best":
                return [method for method in best_first if method in {*methods}]
            case "name":
                return sorted(methods)
            case _:
                return list(methods)
