"""A remote folder on this machine: whole or not there, fetched once, continued after an interruption."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyarrow import fs

from bdw.errors import InputError
from bdw.storage import fetch
from bdw.storage.fetch import fetch_once
from bdw.storage.remote_folder import RemoteFile, RemoteFolder

CONTENTS = {"big.bin": bytes(range(256)) * 40, "small.txt": b"small", "in/a/folder.txt": b"deep", "empty.txt": b""}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_CHUNK", 1000)
    monkeypatch.setattr("bdw.storage.retry.FIRST_PAUSE", 0.001)


@pytest.fixture
def remote(tmp_path: Path) -> RemoteFolder:
    folder = RemoteFolder.at(f"file://{tmp_path}/storage/pool")
    for name, content in CONTENTS.items():
        folder.write(name, content)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Interrupted(Exception):
    """The process ends here."""


class Failing(RemoteFolder):
    """A remote folder whose large file cannot be read from a byte on, so many times."""

    def __init__(self, remote: RemoteFolder, error: Exception, *, at: int, times: int):
        super().__init__(remote.files, remote.root)
        opened, left = remote.files.open_input_file, [times]

        def open_input_file(path: str) -> Any:
            stream = opened(path)

            def read_at(count: int, offset: int) -> bytes:
                if path.endswith("big.bin") and offset >= at and left[0]:
                    left[0] -= 1
                    raise error
                asked.append(offset)
                return bytes(stream.read_at(count, offset))

            class Stream:
                def __enter__(self) -> Any:
                    return SimpleNamespace(read_at=read_at)

                def __exit__(self, *error: object) -> None:
                    stream.close()

            return Stream()

        asked: list[int] = []
        object.__setattr__(self, "asked", asked)
        object.__setattr__(self, "files", SimpleNamespace(open_input_file=open_input_file))


def test_all_files_arrive_with_their_times(tmp_path: Path, remote: RemoteFolder) -> None:
    here = fetch_once(remote, remote.listed(), tmp_path / "cache" / "pool", what="the pool")
    assert contents(here) == CONTENTS
    there = tmp_path / "storage" / "pool" / "big.bin"
    assert (here / "big.bin").stat().st_mtime_ns == there.stat().st_mtime_ns
    assert sorted(path.name for path in here.parent.iterdir()) == [".pool.lock", "pool"]


def test_it_is_fetched_once(tmp_path: Path, remote: RemoteFolder) -> None:
    listed = remote.listed()
    fetch_once(remote, listed, tmp_path / "cache" / "pool", what="the pool")
    shutil.rmtree(tmp_path / "storage")
    assert contents(fetch_once(remote, listed, tmp_path / "cache" / "pool", what="the pool")) == CONTENTS


def test_an_interrupted_one_is_continued(tmp_path: Path, remote: RemoteFolder) -> None:
    listed, here = remote.listed(), tmp_path / "cache" / "pool"
    with pytest.raises(Interrupted):
        fetch_once(Failing(remote, Interrupted(), at=5000, times=1), listed, here, what="the pool")
    assert not here.exists()
    assert (tmp_path / "cache" / ".pool.part" / "big.bin").stat().st_size == 5000
    second: Any = Failing(remote, Interrupted(), at=0, times=0)
    assert contents(fetch_once(second, listed, here, what="the pool")) == CONTENTS
    assert min(offset for offset in second.asked if offset) == 5000, "what was there was asked for again"


def test_what_was_left_of_other_contents_is_thrown_away(tmp_path: Path, remote: RemoteFolder) -> None:
    here = tmp_path / "cache" / "pool"
    with pytest.raises(Interrupted):
        fetch_once(Failing(remote, Interrupted(), at=5000, times=1), remote.listed(), here, what="the pool")
    remote.write("big.bin", CONTENTS["big.bin"][::-1])
    fetch_once(remote, remote.listed(), here, what="the pool")
    assert (here / "big.bin").read_bytes() == CONTENTS["big.bin"][::-1]


def test_a_storage_that_fails_for_a_while_is_asked_again(
    tmp_path: Path, remote: RemoteFolder, caplog: pytest.LogCaptureFixture
) -> None:
    failing = Failing(remote, OSError("503 Slow Down"), at=3000, times=3)
    here = fetch_once(failing, remote.listed(), tmp_path / "cache" / "pool", what="the pool", seconds=20)
    assert contents(here) == CONTENTS
    assert "fetching the pool, big.bin failed (503 Slow Down); trying again" in caplog.text
    assert "succeeded after" in caplog.text


def test_a_storage_that_goes_on_failing_is_an_error_and_leaves_nothing(tmp_path: Path, remote: RemoteFolder) -> None:
    failing = Failing(remote, OSError("503 Slow Down"), at=3000, times=1000)
    with pytest.raises(OSError, match="503 Slow Down"):
        fetch_once(failing, remote.listed(), tmp_path / "cache" / "pool", what="the pool", seconds=0)
    assert not (tmp_path / "cache" / "pool").exists()


def test_a_file_that_is_shorter_than_it_was_listed_is_an_error(tmp_path: Path, remote: RemoteFolder) -> None:
    listed = [RemoteFile(file.name, file.size + 5, file.modified) for file in remote.listed()]
    with pytest.raises(OSError, match=r"bytes$"):
        fetch_once(remote, listed, tmp_path / "cache" / "pool", what="the pool", seconds=0)
    assert not (tmp_path / "cache" / "pool").exists()


def test_wrong_contents_are_refused_and_fetched_anew_the_next_time(tmp_path: Path, remote: RemoteFolder) -> None:
    def refuse(folder: Path) -> None:
        assert (folder / "big.bin").stat().st_size == len(CONTENTS["big.bin"])
        raise InputError("not what was written")

    here = tmp_path / "cache" / "pool"
    with pytest.raises(InputError, match="not what was written"):
        fetch_once(remote, remote.listed(), here, what="the pool", check=refuse)
    assert [path.name for path in here.parent.iterdir()] == [".pool.lock"]
    assert contents(fetch_once(remote, remote.listed(), here, what="the pool")) == CONTENTS


def test_a_disk_with_too_little_room_is_refused_before_anything_is_fetched(
    tmp_path: Path, remote: RemoteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=9999))
    failing = Failing(remote, AssertionError("asked"), at=0, times=1000)
    with pytest.raises(InputError, match=r"^cache_dir: the pool needs 0\.00 GB more, .* has 0\.00 GB free; allowed: "):
        fetch_once(failing, remote.listed(), tmp_path / "cache" / "pool", what="the pool")
    # What an interrupted attempt has left there needs no room a second time.
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1 << 20))
    with pytest.raises(Interrupted):
        fetch_once(Failing(remote, Interrupted(), at=5000, times=1), remote.listed(), tmp_path / "c", what="the pool")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=9999))
    assert contents(fetch_once(remote, remote.listed(), tmp_path / "c", what="the pool")) == CONTENTS


def _fetch_slowly(root: str, here: str, started: Any, go_on: Any) -> None:
    remote = RemoteFolder(fs.LocalFileSystem(), root)

    def check(folder: Path) -> None:
        started.set()
        go_on.wait(60)

    fetch_once(remote, remote.listed(), Path(here), what="the pool", check=check)


def test_a_second_process_waits_for_the_first_and_says_so(
    tmp_path: Path, remote: RemoteFolder, caplog: pytest.LogCaptureFixture
) -> None:
    context = multiprocessing.get_context("fork")
    started, go_on = context.Event(), context.Event()
    here = tmp_path / "cache" / "pool"
    first = context.Process(target=_fetch_slowly, args=(remote.root, str(here), started, go_on))
    first.start()
    try:
        assert started.wait(60)

        class LetsGo(logging.Handler):
            """Lets the first process end once the second has said that it waits."""

            def emit(self, record: logging.LogRecord) -> None:
                go_on.set()

        handler = LetsGo()
        logging.getLogger("bdw.storage.process_lock").addHandler(handler)
        never = Failing(remote, AssertionError("fetched twice"), at=0, times=1000)
        assert contents(fetch_once(never, remote.listed(), here, what="the pool")) == CONTENTS
        logging.getLogger("bdw.storage.process_lock").removeHandler(handler)
        waited = f"fetching the pool: process {first.pid} of this machine is at it; waiting for that"
        assert waited in caplog.text
        assert never.asked == []  # type: ignore[attr-defined]
    finally:
        go_on.set()
        first.join(60)
    assert first.exitcode == 0


def test_the_lock_of_a_killed_process_holds_nobody_up(tmp_path: Path, remote: RemoteFolder) -> None:
    context = multiprocessing.get_context("fork")
    started, go_on = context.Event(), context.Event()
    here = tmp_path / "cache" / "pool"
    first = context.Process(target=_fetch_slowly, args=(remote.root, str(here), started, go_on))
    first.start()
    assert started.wait(60)
    first.kill()
    first.join(60)
    assert contents(fetch_once(remote, remote.listed(), here, what="the pool")) == CONTENTS
    assert (here.parent / ".pool.lock").read_text() == str(os.getpid())


def test_an_object_store_is_fetched_from(tmp_path: Path, s3_address: str) -> None:
    remote = RemoteFolder.at(s3_address)
    for name, content in CONTENTS.items():
        remote.write(name, content)
    listed = remote.listed()
    assert {file.name: file.size for file in listed} == {name: len(content) for name, content in CONTENTS.items()}
    assert all(file.modified > 0 for file in listed)
    assert contents(fetch_once(remote, listed, tmp_path / "pool", what="the pool")) == CONTENTS
    assert [file.name for file in remote.names_beginning("s")] == ["small.txt"]
    assert remote.under("nowhere").listed() == []


def test_the_note_of_an_unfinished_folder_is_json(tmp_path: Path, remote: RemoteFolder) -> None:
    with pytest.raises(Interrupted):
        fetch_once(Failing(remote, Interrupted(), at=0, times=1), remote.listed(), tmp_path / "pool", what="the pool")
    assert json.loads((tmp_path / ".pool.part" / ".listing.json").read_text())[0] == remote.root
