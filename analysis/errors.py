"""What can be wrong with the input of an analysis; every error is one line: field, value, what is allowed."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


class AnalysisInputError(ValueError):
    """Input that cannot be analysed; its text is one line fit to be shown to the user."""

    def __init__(self, message: str) -> None:
        # Names and files may hold line breaks.
        super().__init__(one_line(message))


class ResultsFileError(AnalysisInputError):
    """A results file that is absent or cannot be read."""


class ColumnsError(AnalysisInputError):
    """A table without the columns that are needed, or with empty keys in them."""


class MetricError(AnalysisInputError):
    """A metric that is absent, or several where one is needed."""


class DirectionError(AnalysisInputError):
    """Rows, or rows and caller, that disagree on whether higher values are better."""


class NotNumericError(AnalysisInputError):
    """Scores that are not numbers."""


class NotFiniteError(AnalysisInputError):
    """Scores that are infinite or not a number."""


class MissingCellsError(AnalysisInputError):
    """A (method, domain) cell without a score."""


class DuplicateError(AnalysisInputError):
    """A method, domain or (method, domain, seed) that occurs twice."""


class TooFewError(AnalysisInputError):
    """Fewer than two methods or fewer than two domains."""


class ConstantScoresError(AnalysisInputError):
    """Scores in which all methods tie on every domain: ranks then say nothing, and Friedman's statistic is 0/0."""


class NoCriticalDifferenceError(AnalysisInputError):
    """One critical difference was asked for where none is valid for all pairs."""


class OptionError(AnalysisInputError):
    """An argument outside its allowed range."""


def one_line(text: str) -> str:
    """Return text with a blank for each line break."""
    return " ".join(text.splitlines())


def shown(value: object) -> str:
    """Write a value for an error message the way Python does, without NumPy's "np.float64(...)", and not at length."""
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 100 else f"{text[:80]}... ({len(text)} signs)"


def listing(items: Iterable[object], *, limit: int = 8) -> str:
    """Join items for an error message, the first `limit` of them in full and a count of the rest."""
    texts = [str(item) for item in items]
    first = ", ".join(texts[:limit])
    return first if len(texts) <= limit else f"{first} and {len(texts) - limit} more"
