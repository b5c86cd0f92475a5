"""A run's log: what a console would have shown, how it ended, and no more than it may hold."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from bdw.errors import NonFiniteError
from bdw.runs import log_file
from bdw.runs.log_file import logged_to

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  "


def lines(path: Path) -> list[str]:
    """What was said; fails if a line has no time."""
    text = path.read_text(encoding="utf-8").splitlines()
    assert all(re.match(TIME, line) for line in text), text
    return [re.sub(TIME, "", line) for line in text]


def test_lines_warnings_and_attempts(tmp_path: Path) -> None:
    path = tmp_path / "run" / "log.txt"
    before = list(logging.getLogger().handlers)
    for attempt in ("first", "second"):
        with logged_to(path, who="worker 1 of 2") as log:
            print(f"the {attempt}\nof two: ü", file=log)
            logging.getLogger("bdw.some").warning("%d images cannot be read", 3)
    assert logging.getLogger().handlers == before
    logging.getLogger("bdw.some").warning("nobody listens any more")
    said = lines(path)
    assert re.fullmatch(r"process \d+ on \S+, worker 1 of 2", said[0])
    own = ["of two: ü", "warning: 3 images cannot be read"]
    assert said[1:] == ["the first", *own, said[0], "the second", *own]


def test_how_it_ended(tmp_path: Path) -> None:
    ends: list[tuple[BaseException, str]] = [
        (NonFiniteError("loss", 3, 1), "NonFiniteError: "),
        (SystemExit(), "stopped before its end"),
        (ZeroDivisionError("division"), "ZeroDivisionError: division"),
    ]
    for number, (error, expected) in enumerate(ends):
        path = tmp_path / f"{number}.txt"
        with pytest.raises(type(error)), logged_to(path):
            raise error
        text = path.read_text()
        assert expected in text
        assert ("Traceback" in text) == isinstance(error, ZeroDivisionError)


def test_it_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "MOST_BYTES", 1000)
    with logged_to(tmp_path / "log.txt") as log:
        for number in range(200):
            print(f"line {number:03}", file=log)
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sizes.keys() == {"log.txt", "log.txt.1"}
    assert max(sizes.values()) <= 1000
    assert lines(tmp_path / "log.txt")[-1] == "line 199"
    assert all(re.fullmatch(log_file.PATTERN, name) for name in sizes)


def test_the_copy_has_it_at_the_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "log_worker_1.txt"
    assert path.name == log_file.name_of(1)
    with pytest.raises(SystemExit), logged_to(path, storage=f"file://{tmp_path}/storage/run"):
        raise SystemExit
    assert (tmp_path / "storage/run/log_worker_1.txt").read_bytes() == path.read_bytes()
    (tmp_path / "full").touch()
    with logged_to(path, storage=str(tmp_path / "full")):
        pass
    assert "log_worker_1.txt cannot be copied" in caplog.text


def test_a_log_that_cannot_be_written_ends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    with logged_to(tmp_path / "file" / "log.txt") as log:
        print("one\ntwo", file=log)
    said = capsys.readouterr().err
    assert said.count("log.txt cannot be written") == 1


def test_a_warning_is_still_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, []  # As in a process that has set up no logging.
    try:
        with logged_to(tmp_path / "log.txt"):
            logging.getLogger("bdw").warning("look")
    finally:
        root.handlers = handlers
    assert "look" in capsys.readouterr().err
    assert lines(tmp_path / "log.txt")[-1] == "warning: look"
