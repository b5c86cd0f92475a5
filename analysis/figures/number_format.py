"""Numbers as figures write them."""

from __future__ import annotations

from analysis.errors import OptionError


def formatted(value: float, specification: str) -> str:
    """Write a number by a format specification such as ".1f".

    Raises:
        OptionError: no format specification of numbers.
    """
    try:
        return format(float(value), specification).replace("-", "−")
    except ValueError as error:
        raise OptionError(
            f"score_format: {specification!r}; allowed: a format specification of numbers such as '.1f'"
        ) from error


def signed(value: float, specification: str) -> str:
    """The same with a plus or a minus sign in front, none before what is written as zero."""
    text = formatted(abs(value), specification)
    if not any(digit in "123456789" for digit in text):
        return text
    return f"{'+' if value > 0 else '−'}{text}"
