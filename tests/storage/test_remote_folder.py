"""A run's copy: nothing half-written is taken for a checkpoint, the further of two states wins."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs

from bdw.errors import InputError
from bdw.runs.backup_files import COMPLETE, RESULTS, checkpoints, delete_checkpoints, pull_run, push_run
from bdw.runs.checkpoint import Position
from bdw.storage.remote_folder import RemoteFolder, below


@pytest.fixture
def copy(tmp_path: Path) -> RemoteFolder:
    return RemoteFolder.at(f"file://{tmp_path}/storage/run")


def write_run(folder: Path, *epochs: int) -> Path:
    for epoch in epochs:
        checkpoint = folder / "checkpoints" / f"epoch_{epoch:04d}"
        checkpoint.mkdir(parents=True)
        (checkpoint / "state.pt").write_text(f"state {epoch}")
    (folder / "metrics.csv").write_text(f"{max(epochs)} epochs")
    return folder


def test_a_run_comes_back_on_another_machine(tmp_path: Path, copy: RemoteFolder) -> None:
    run = write_run(tmp_path / "here", 1, 2)
    (run / "checkpoints" / ".epoch_0003.abc.tmp").mkdir()
    (run / ".config.json.tmp").write_text("unfinished")
    push_run(copy, run)
    there = tmp_path / "there"
    pull_run(copy, there)
    assert sorted(str(path.relative_to(there)) for path in there.rglob("*") if path.is_file()) == [
        "checkpoints/epoch_0002/state.pt",
        "metrics.csv",
    ]
    assert (there / "checkpoints/epoch_0002/state.pt").read_text() == "state 2"


def test_only_the_newest_checkpoint_is_kept_there(tmp_path: Path, copy: RemoteFolder) -> None:
    run = write_run(tmp_path / "run", 1)
    push_run(copy, run)
    write_run(run, 2)
    push_run(copy, run)
    kept = sorted(path.name for path in (tmp_path / "storage/run/checkpoints").iterdir())
    assert kept == ["epoch_0002"]


def test_the_best_epochs_checkpoint_stays_there(tmp_path: Path, copy: RemoteFolder) -> None:
    run = tmp_path / "run"
    for epoch in (1, 2, 3):
        push_run(copy, write_run(run, epoch), best_epoch=1)
    assert checkpoints(copy) == [Position(1), Position(3)]
    pull_run(copy, tmp_path / "there")
    assert [path.name for path in (tmp_path / "there/checkpoints").iterdir()] == ["epoch_0003"]


def test_a_half_copied_checkpoint_is_none(tmp_path: Path, copy: RemoteFolder) -> None:
    push_run(copy, write_run(tmp_path / "run", 1, 2))
    (tmp_path / f"storage/run/checkpoints/epoch_0002/{COMPLETE}").unlink()
    pull_run(copy, tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_a_copy_loses_its_checkpoints_and_keeps_its_files(tmp_path: Path, copy: RemoteFolder) -> None:
    push_run(copy, write_run(tmp_path / "run", 1, 2), best_epoch=1)
    (tmp_path / "storage/run/checkpoints/epoch_0004").mkdir()  # half copied, without its marker
    for _ in range(2):
        delete_checkpoints(copy)
        assert [path.name for path in (tmp_path / "storage/run").iterdir()] == ["metrics.csv"]
    pull_run(copy, tmp_path / "there")
    assert not (tmp_path / "there").exists(), "a run that has not ended and cannot be continued begins anew"


def test_an_object_store_loses_checkpoints_and_nothing_else(tmp_path: Path, s3_address: str) -> None:
    store = RemoteFolder.at(s3_address)
    for name in ("one", "two"):
        push_run(store.under(name), write_run(tmp_path / name, 1, 2))
    for _ in range(2):
        delete_checkpoints(store.under("one"))
        assert [file.name for file in store.under("one").listed()] == ["metrics.csv"]
    assert checkpoints(store.under("two")) == [Position(2)]
    push_run(store.under("one"), write_run(tmp_path / "one", 3))
    assert checkpoints(store.under("one")) == [Position(3)], "a longer run is copied as before"


def test_a_finished_run_comes_back_without_its_checkpoints(tmp_path: Path, copy: RemoteFolder) -> None:
    run = write_run(tmp_path / "run", 2)
    (run / RESULTS).write_text("results")
    push_run(copy, run)
    delete_checkpoints(copy)
    shorter = write_run(tmp_path / "shorter", 1)  # Here the run was cut short before another machine finished it.
    for there in (tmp_path / "there", shorter):
        pull_run(copy, there)
        assert (there / RESULTS).read_text() == "results"
        assert (there / "metrics.csv").read_text() == "2 epochs"
    (shorter / "metrics.csv").write_text("its own")
    pull_run(copy, shorter)
    assert (shorter / "metrics.csv").read_text() == "its own", "what has ended here is no less far"


def test_what_was_half_copied_goes_with_the_next_checkpoint(tmp_path: Path, copy: RemoteFolder) -> None:
    run = write_run(tmp_path / "run", 1)
    push_run(copy, run)
    (tmp_path / f"storage/run/checkpoints/epoch_0001/{COMPLETE}").unlink()
    push_run(copy, write_run(run, 2))
    assert [path.name for path in (tmp_path / "storage/run/checkpoints").iterdir()] == ["epoch_0002"]


def test_a_file_of_the_copy_keeps_its_contents_until_the_new_ones_are_whole(tmp_path: Path, copy: RemoteFolder) -> None:
    copy.push_files(write_run(tmp_path / "run", 1))
    with contextlib.suppress(ConnectionError), copy._replacing("metrics.csv") as stream:
        stream.write(b"half")
        raise ConnectionError
    assert copy.read_text("metrics.csv") == "1 epochs"
    copy.pull_files(tmp_path / "there")
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["metrics.csv"]
    assert copy.read_text("nothing.csv") is None


def test_an_interrupted_pull_is_done_again(tmp_path: Path, copy: RemoteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    push_run(copy, write_run(tmp_path / "here", 1, 2))
    there, pull = tmp_path / "there", RemoteFolder.pull

    def break_off(self: RemoteFolder, name: str, destination: Path) -> None:
        if name.endswith("state.pt"):
            raise OSError("connection lost")
        pull(self, name, destination)

    with monkeypatch.context() as patch:
        patch.setattr(RemoteFolder, "pull", break_off)
        with pytest.raises(OSError, match="connection lost"):
            pull_run(copy, there)
    pull_run(copy, there)
    assert (there / "metrics.csv").read_text() == "2 epochs"
    assert (there / "checkpoints/epoch_0002/state.pt").read_text() == "state 2"


def test_a_checkpoint_in_the_copy_means_that_its_files_are_there(
    tmp_path: Path, copy: RemoteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(self: RemoteFolder, folder: Path) -> None:
        raise OSError("connection lost")

    monkeypatch.setattr(RemoteFolder, "push_files", break_off)
    with pytest.raises(OSError, match="connection lost"):
        push_run(copy, write_run(tmp_path / "here", 1))
    assert not list(tmp_path.glob("storage/**/complete"))


def test_what_is_further_stays(tmp_path: Path, copy: RemoteFolder) -> None:
    push_run(copy, write_run(tmp_path / "old", 1))
    further = write_run(tmp_path / "further", 1, 2)
    pull_run(copy, further)
    assert (further / "metrics.csv").read_text() == "2 epochs"


def test_an_empty_storage_has_nothing(tmp_path: Path, copy: RemoteFolder) -> None:
    pull_run(copy, tmp_path / "run")
    copy.pull_files(tmp_path / "files")
    assert list(tmp_path.iterdir()) == []


def test_plain_paths_work_too(tmp_path: Path) -> None:
    copy = RemoteFolder.at(str(tmp_path / "plain")).under("run")
    copy.require_writable()
    copy.push_files(write_run(tmp_path / "run", 1))
    assert (tmp_path / "plain/run/metrics.csv").is_file()


def test_an_object_store_keeps_a_run(tmp_path: Path, s3_address: str) -> None:
    copy = RemoteFolder.at(s3_address)
    copy.require_writable()
    run = tmp_path / "here"
    for epoch in (1, 2, 3):
        push_run(copy, write_run(run, epoch), best_epoch=1)
    assert checkpoints(copy) == [Position(1), Position(3)]
    assert copy.read_text("metrics.csv") == "3 epochs"
    assert copy.read_text("nothing.csv") is None
    pull_run(copy, tmp_path / "there")
    assert (tmp_path / "there/checkpoints/epoch_0003/state.pt").read_text() == "state 3"
    assert checkpoints(RemoteFolder.at(below(s3_address, "other"))) == []
    with pytest.raises(InputError, match="storage_path: cannot write to missing/runs"):
        RemoteFolder.at(s3_address.replace("//bucket", "//missing")).require_writable()


def test_an_object_store_gets_a_small_file_in_one_request(
    tmp_path: Path, s3_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.moto_api import recorder

    monkeypatch.setattr(recorder, "_location", str(tmp_path / "requests"))
    recorder.start_recording()
    try:
        RemoteFolder.at(s3_address).write_text("config.json", "{}")
    finally:
        recorder.stop_recording()
    requests = [json.loads(line) for line in recorder.download_recording().splitlines()]
    assert [request["method"] for request in requests] == ["PUT"]
    assert RemoteFolder.at(s3_address).read_text("config.json") == "{}"


class StoreThatRefuses:
    """As much of an object store as writing needs, in a folder; it fails so many calls first."""

    type_name = "s3"

    def __init__(self, folder: Path, *failures: str) -> None:
        self.calls = 0
        self._folder = fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem())
        self._failures = list(failures)

    def open_output_stream(self, path: str) -> Any:
        self.calls += 1
        if self._failures:
            raise OSError(self._failures.pop(0))
        return self._folder.open_output_stream(path)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bdw.storage.remote_folder.FIRST_PAUSE", 0.001)


def test_a_call_that_an_object_store_refuses_is_made_again(tmp_path: Path, quick: None) -> None:
    store = StoreThatRefuses(tmp_path, *["AWS Error SLOW_DOWN during PutObject"] * 4)
    RemoteFolder(store, ".").write_text("a", "contents")
    assert (store.calls, (tmp_path / "a").read_text()) == (5, "contents")


def test_what_a_further_call_would_meet_again_is_told_at_once(tmp_path: Path, quick: None) -> None:
    store = StoreThatRefuses(tmp_path, "AWS Error ACCESS_DENIED during PutObject", "never reached")
    with pytest.raises(OSError, match="ACCESS_DENIED"):
        RemoteFolder(store, ".").write_text("a", "contents")
    assert store.calls == 1


def test_a_call_is_not_made_for_ever(tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bdw.storage.remote_folder.SECONDS_OF_A_CALL", 0.05)
    store = StoreThatRefuses(tmp_path, *["AWS Error SLOW_DOWN during PutObject"] * 100)
    with pytest.raises(OSError, match="SLOW_DOWN"):
        RemoteFolder(store, ".").write_text("a", "contents")
    assert 2 <= store.calls < 20


def test_what_lies_below_an_address() -> None:
    assert below("s3://bucket/runs/", "ray") == "s3://bucket/runs/ray"
    assert below("s3://bucket/runs?region=x&scheme=http", "ray") == "s3://bucket/runs/ray?region=x&scheme=http"
    assert below("/a/path", "ray") == "/a/path/ray"


def test_addresses_that_cannot_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"storage_path: 'nonsense://x' cannot be used"):
        RemoteFolder.at("nonsense://x")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="storage_path: cannot write to"):
        RemoteFolder.at(f"file://{tmp_path}/file/run").require_writable()
