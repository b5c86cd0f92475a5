"""The registry of pretext tasks: what it promises to users."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bdw import pretext
from bdw.errors import InputError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "pretext-tasks.md"


def test_the_page_lists_every_task_and_no_other() -> None:
    section = PAGE.read_text(encoding="utf-8").split("\n## ")[0]
    assert tuple(sorted(re.findall(r"^\| `(.+?)` \|", section, flags=re.MULTILINE))) == tuple(
        sorted({*pretext.available(), "--pretext"})
    )


def test_an_unknown_task_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match=r"pretext: 'simclrr' is not known \(did you mean 'simclr'\?\); allowed: "):
        pretext.task_class("simclrr")
