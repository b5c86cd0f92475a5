from __future__ import annotations

import pytest

from bdw.data import packing_bar


def test_silent_where_nobody_looks(capfd: pytest.CaptureFixture[str]) -> None:
    with packing_bar() as report:
        for done in range(1, 131):
            report("source", done, 130)
        report("target train", 64, None)
    assert capfd.readouterr() == ("", "")


def test_shows_what_is_packed(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with packing_bar() as report:
        for done in range(1, 131):
            report("packing source, images", done, 130)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "packing source, images" in shown.err
    assert "130/130" in shown.err
