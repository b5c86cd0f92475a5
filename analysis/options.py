"""Checks of arguments that several analyses share."""

from __future__ import annotations

import numpy as np

from analysis.errors import OptionError, shown


def require_whole(field: str, value: int, *, at_least: int) -> None:
    """Raise OptionError unless the value is a whole number of at least `at_least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < at_least:
        raise OptionError(f"{field}: {shown(value)}; allowed: a whole number of at least {at_least}")


def require_share(field: str, value: float) -> None:
    """Raise OptionError unless the value lies between 0 and 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 < value < 1:
        raise OptionError(f"{field}: {shown(value)}; allowed: between 0 and 1, both excluded")
