"""Ranges of settings: what a section's `__post_init__` refuses, in one line."""

from __future__ import annotations

import math

from bdw.errors import InputError

YEAR = 366 * 24 * 3600  # seconds


def require(condition: bool, name: str, value: object, allowed: str) -> None:
    """`InputError` that names field, value and what is allowed, unless the condition holds."""
    if not condition:
        raise InputError(f"{name}: {value!r} cannot work; allowed: {allowed}")


def require_at_least(name: str, value: float | None, least: int, allowed: str) -> None:
    """`InputError` for a smaller number; None stands for the default and may pass."""
    require(value is None or value >= least, name, value, allowed)


def is_finite_positive(value: float) -> bool:
    """Whether the number is above 0 and neither infinite nor NaN."""
    return math.isfinite(value) and value > 0
