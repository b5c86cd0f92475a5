"""Names of files as text, whatever bytes they hold."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bdw.storage.atomic_write import write_text
from bdw.storage.spelt_out import HANDLER, spelt_out


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"plain", "plain"),
        ("größe 漢".encode(), "größe 漢"),
        (b"p-\xfc", "p-\\xfc"),
        (b"\x80/\xff\xfe", "\\x80/\\xff\\xfe"),
    ],
)
def test_what_is_not_utf8_is_spelt_out(tmp_path: Path, name: bytes, expected: str) -> None:
    assert spelt_out(os.fsdecode(name)) == expected
    write_text(tmp_path / "file", f"{os.fsdecode(name)}\n")
    assert (tmp_path / "file").read_text(encoding="utf-8") == f"{expected}\n"


def test_so_is_what_an_encoding_lacks() -> None:
    assert "ü 漢 😀 \udcfc".encode("ascii", HANDLER) == rb"\xfc \u6f22 \U0001f600 \xfc"
    with pytest.raises(UnicodeDecodeError):
        b"\xfc".decode("utf-8", HANDLER)
