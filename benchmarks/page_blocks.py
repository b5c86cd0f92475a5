"""Blocks of docs/scaling.md that benchmarks write: tables, and numbers as they stand in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bdw.storage.atomic_write import write_text

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scaling.md"


def write_block(begin: str, end: str, made: str) -> None:
    """Put the text in the place of what stands between the two markers of the page."""
    before, rest = PAGE.read_text(encoding="utf-8").split(begin)
    _, after = rest.split(end)
    write_text(PAGE, f"{before}{begin}\n\n{made}\n\n{end}{after}")


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---:"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def in_bytes(size: float) -> str:
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            return f"{three_digits(size / unit)} {name}"
    return f"{three_digits(size / 1e3)} kB"


def in_seconds(seconds: float) -> str:
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= unit:
            return f"{three_digits(seconds / unit)} {name}"
    return f"{three_digits(seconds * 1000)} ms"


def in_millions(number: float) -> str:
    return f"{three_digits(number / 1e9)} B" if number >= 1e9 else f"{three_digits(number / 1e6)} M"


def two_digits(number: float) -> str:
    """Two digits: processor seconds of one machine say no more."""
    return f"{float(f'{number:.1e}'):,.0f}"


def in_percent(share: float) -> str:
    return f"{three_digits(100 * share)} %"


def three_digits(value: float) -> str:
    """At most; whole numbers without a fraction."""
    return (
        f"{value:.0f}" if value >= 99.5 or value == int(value) else f"{value:.1f}" if value >= 9.95 else f"{value:.2f}"
    )
