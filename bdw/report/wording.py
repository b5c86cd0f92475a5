"""How numbers read on a page: one function a quantity, the same digits everywhere, a dash for what is not known."""

from __future__ import annotations

import math

UNKNOWN = "–"


def percent(share: float) -> str:
    """A share of 0 to 1 as a percentage with one decimal, `81.2 %`."""
    return UNKNOWN if not math.isfinite(share) else f"{100 * share:.1f} %"


def count(number: float) -> str:
    """A whole number with thousands separated, `12,800`."""
    return UNKNOWN if not math.isfinite(number) else f"{round(number):,}"


def ratio(value: float) -> str:
    """A number of 0 to 1 with three decimals, for an AUROC."""
    return UNKNOWN if not math.isfinite(value) else f"{value:.3f}"


def weight(value: float, spread: float = 1.0) -> str:
    """A mean weight with four decimals, or with three digits of `spread`, the span of the weights, if that is small.

    After few epochs, or with small steps, weights differ far behind the point only.
    """
    decimals = 4 if not 0 < spread < 0.01 else min(9, 2 - math.floor(math.log10(spread)))
    return UNKNOWN if not math.isfinite(value) else f"{value:.{decimals}f}"


def number(value: float) -> str:
    """Any number with four significant digits and no trailing zeros, `0.1`, `1e-05`."""
    return UNKNOWN if not math.isfinite(value) else f"{value:.4g}"


def seconds(value: float) -> str:
    """A duration with its unit: `8.4 s`, `12 min 5 s`, `3 h 20 min`."""
    if not math.isfinite(value):
        return UNKNOWN
    if value < 100:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(value / 60)
    return f"{minutes // 60:,} h {minutes % 60} min"


def plural(number_of: int, singular: str, several: str | None = None) -> str:
    """A count with its noun: `1 image`, `2,000 images`."""
    return f"{number_of:,} {singular if number_of == 1 else several or singular + 's'}"
