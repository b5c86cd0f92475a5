"""A storage that a kill, a lock or a missing disk has touched is mended, or refused with one line."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path

import optuna
import pytest

from bdw.errors import InputError
from sweeps.study import storage
from sweeps.study.open_study import open_storage, open_study


def study_at(journal: Path, url: str | None = None) -> optuna.Study:
    return open_study(open_storage(journal, url), "sweep", directions=["maximize"], experiment={}, seed=0)


RECORD = b'{"op_code": 7, "worker_id": "w"}'


@pytest.mark.parametrize(
    "rest",
    [
        b'{"op_code":4,"worker',
        b'{"op_code":8,"trial_id":0}',
        b"x" * 10_000,
        b"\n",
        b"\n \n\n",
        RECORD,
        RECORD + RECORD + b"\n",
        RECORD[:9] + RECORD + b"\n",
        b"\n" + RECORD[:9],
        b"\xff\xfe\n",
        b"[1]\n",
    ],
)
def test_what_a_broken_write_left_at_the_end_is_cut_off(tmp_path: Path, rest: bytes) -> None:
    journal = tmp_path / "study.journal"
    study_at(journal).tell(study_at(journal).ask().number, 0.5)
    whole = journal.read_bytes()
    with journal.open("ab") as file:
        file.write(rest)
    again = study_at(journal)
    again.tell(again.ask(), 0.6)
    assert [trial.value for trial in study_at(journal).get_trials()] == [0.5, 0.6]
    assert journal.read_bytes().startswith(whole)
    assert all(isinstance(json.loads(line), dict) for line in journal.read_bytes().splitlines())


def test_a_journal_of_nothing_but_half_a_line_begins_anew(tmp_path: Path) -> None:
    journal = tmp_path / "study.journal"
    journal.write_bytes(b'{"op_')
    assert study_at(journal).get_trials() == []


def test_what_is_no_journal_is_refused(tmp_path: Path) -> None:
    journal = tmp_path / "study.journal"
    for contents in (b"no json\nand more\n", b"[1]\n[2]\n", b'{"op_code": 0}\n{"op_code": 1}\n'):
        journal.write_bytes(contents)
        with pytest.raises(InputError, match=r"study: .*study.journal is damaged \(.*\); allowed: a journal that"):
            open_storage(journal)
        assert journal.read_bytes() == contents


@pytest.mark.parametrize("damage", [b"\n", RECORD + RECORD + b"\n", RECORD[:9] + b"\n", b"null\n"])
def test_a_journal_that_is_damaged_before_its_end_is_refused_with_the_lines_number(
    tmp_path: Path, damage: bytes
) -> None:
    journal = tmp_path / "study.journal"
    study_at(journal).ask()
    lines = journal.read_bytes().splitlines(keepends=True)
    contents = b"".join([*lines[:2], damage, *lines[2:]])
    journal.write_bytes(contents)
    with pytest.raises(InputError, match=r"study: .*study.journal is damaged \(line 3 is no record of a study\)"):
        open_storage(journal)
    assert journal.read_bytes() == contents


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_journal_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    journal = tmp_path / "study.journal"
    journal.touch(mode=0)
    with pytest.raises(InputError, match="cannot be opened: Permission denied"):
        open_storage(journal)


def test_a_journal_whose_folder_went_away_is_one_line(tmp_path: Path) -> None:
    journal = tmp_path / "sweep" / "study.journal"
    with pytest.raises(InputError, match=r"study: .*study.journal cannot be opened: No such file or directory"):
        open_storage(journal)
    journal.parent.mkdir()
    study = study_at(journal)
    shutil.rmtree(journal.parent)
    with pytest.raises(InputError, match="study: its storage is locked or gone: No such file"), storage.told_clearly():
        study.ask()


def test_a_database_that_somebody_keeps_locked_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "LOCK_TIMEOUT", 0.1)
    url = f"sqlite:///{tmp_path}/study.db"
    study = study_at(tmp_path / "unused", url)
    holder = sqlite3.connect(tmp_path / "study.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(InputError, match=r"study_storage: 'sqlite.*' cannot be opened: .*database is locked"):
            open_storage(tmp_path / "unused", url)
        with pytest.raises(InputError, match=r"its storage is locked or gone: .*is locked"), storage.told_clearly():
            study.ask()
    finally:
        holder.close()
    study.ask()
    study._storage.remove_session()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "Could not parse"),
        ("sqlite:////nowhere/at/all/study.db", "unable to open database file"),
        ("oracle9://host/db", "Can't load plugin"),
    ],
)
def test_a_database_that_cannot_be_opened_is_one_line(tmp_path: Path, url: str, said: str) -> None:
    with pytest.raises(InputError, match=rf"study_storage: '{url}' cannot be opened: .*{said}") as caught:
        open_storage(tmp_path / "unused", url)
    assert "\n" not in str(caught.value)


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'oracle9://me:\*\*\*@host/db'") as caught:
        open_storage(tmp_path / "unused", "oracle9://me:secret@host/db")
    assert "secret" not in str(caught.value)
