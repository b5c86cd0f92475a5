"""The level of a test."""

from __future__ import annotations

import numpy as np

from analysis.errors import OptionError, shown


def require_alpha(alpha: float) -> None:
    """Raise OptionError unless `alpha` is a number between 0 and 1, both excluded."""
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float, np.number)) or not 0 < alpha < 1:
        raise OptionError(f"alpha: {shown(alpha)}; allowed: between 0 and 1, both excluded")
