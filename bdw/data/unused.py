"""One line on what a packed data set could not use: how many files of which ending, and why."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

MOST_KINDS = 30
"""Kinds that the line names; the rest is a number."""


def number_of(entries: Iterable[Mapping[str, Any]]) -> int:
    """How many files and folders the entries of a header's `skipped` stand for."""
    return sum(int(entry.get("count", 1)) for entry in entries)


def told(entries: Iterable[Mapping[str, Any]]) -> str:
    """Such as `8 .heic (HEIC, which needs the package pillow-heif), 4 without an ending (no image)`; "" for nothing."""
    kinds: Counter[tuple[str, str]] = Counter()
    reasons: dict[tuple[str, str], set[str]] = defaultdict(set)
    for entry in entries:
        # Sizes and positions in a decoder's message would make every file a kind of its own.
        kind = _ending(str(entry["name"])), re.sub(r"\d+", "N", str(entry["reason"]))
        kinds[kind] += int(entry.get("count", 1))
        reasons[kind].add(str(entry["reason"]))
    shown = [
        f"{count:,} {kind[0]} ({min(reasons[kind]) if len(reasons[kind]) == 1 else kind[1]})"
        for kind, count in kinds.most_common(MOST_KINDS)
    ]
    if len(kinds) > MOST_KINDS:
        shown.append(f"{kinds.total() - sum(n for _, n in kinds.most_common(MOST_KINDS)):,} of other kinds")
    return ", ".join(shown)


def _ending(name: str) -> str:
    if name.endswith("/"):
        return "folder(s)"
    return os.path.splitext(name)[1].lower() or "without an ending"  # noqa: PTH122
