"""Paths as text. File names are bytes: what is not UTF-8 in them is spelt out (`\\xfc`), so that they can go into any
file, table or console."""

from __future__ import annotations

import codecs

HANDLER = "bdw.spelt_out"
"""Name of the codecs' error handler that spells out what an encoding does not have."""


def spelt_out(text: str) -> str:
    """The text with bytes that Python keeps as lone surrogates, such as `os.fsdecode` returns, spelt out."""
    return text.encode("utf-8", HANDLER).decode("utf-8")


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    # The bytes 0x80 to 0xff are kept as U+DC80 to U+DCFF (PEP 383).
    bytes_back = (chr(ord(c) - 0xDC00) if 0xDC80 <= ord(c) <= 0xDCFF else c for c in letters)
    return "".join(c.encode("ascii", "backslashreplace").decode() for c in bytes_back), error.end


codecs.register_error(HANDLER, _spell)
