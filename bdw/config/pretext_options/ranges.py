"""Ranges that many options of pretext tasks share."""

from __future__ import annotations

from bdw.config.checks import is_finite_positive, require


def require_sizes(options: object, *names: str) -> None:
    """`InputError` unless each of these options is at least 1."""
    for name in names:
        require(getattr(options, name) >= 1, f"pretext.{name}", getattr(options, name), "at least 1")


def require_shares(options: object, *names: str) -> None:
    """`InputError` unless each of these options is from 0 to 1."""
    for name in names:
        require(0 <= getattr(options, name) <= 1, f"pretext.{name}", getattr(options, name), "0 to 1")


def require_positive(options: object, *names: str) -> None:
    """`InputError` unless each of these options is a number above 0, neither infinite nor NaN."""
    for name in names:
        value = getattr(options, name)
        require(is_finite_positive(value), f"pretext.{name}", value, "a number above 0")
