"""A trial's directory follows from its settings; a sweep's from storage and name."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from bdw.config import RunConfig
from bdw.errors import InputError
from bdw.storage.remote_folder import RemoteFolder
from sweeps.runner.paths import Paths, portable

CONFIG = RunConfig()


def test_run_names_depend_on_settings_and_seed_only() -> None:
    paths, elsewhere = Paths.of("/a", "sweep"), Paths.of("s3://bucket", "other")
    name = paths.run_name(CONFIG, "BDW", "data")
    moved = CONFIG.replace(run_dir="x", cache_dir="y", data_root="z", device="cpu")
    assert name == elsewhere.run_name(moved, "BDW", "data")
    assert name != paths.run_name(CONFIG.replace(seed=1), "BDW", "data")
    assert name != paths.run_name(CONFIG.replace(weight_lr=10.0), "BDW", "data")
    assert name != paths.run_name(CONFIG, "BDW", "other pictures of the same name")
    assert name.startswith("bdw-")


def test_a_folder_is_the_sweeps_only_place(tmp_path: Path) -> None:
    paths = Paths.of(str(tmp_path), "sweep")
    paths.prepare()
    assert paths.path == tmp_path / "sweep"
    assert paths.path.is_dir()
    assert paths.run_dir("r") == str(tmp_path / "sweep/runs/r")
    assert paths.run_copy("r") is None
    assert paths.train_dir == str(tmp_path / "sweep/ray/train")


def test_an_address_is_worked_on_in_the_home_of_each_machine() -> None:
    paths = Paths.of("s3://bucket/path/", "sweep")
    assert paths.copy_at == "s3://bucket/path/sweep"
    assert paths.directory.startswith("~/.cache/")
    assert paths.run_copy("r") == "s3://bucket/path/sweep/runs/r"
    assert paths.train_dir == "s3://bucket/path/sweep/ray/train"
    assert paths.directory != Paths.of("s3://other/path", "sweep").directory


def test_the_further_study_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def on_machine(name: str) -> Paths:
        monkeypatch.setenv("HOME", str(tmp_path / name))
        paths = Paths.of(f"file://{tmp_path}/storage", "sweep")
        paths.prepare()
        return paths

    first = on_machine("one")
    first.journal.write_text("begun\n")
    first.publish()
    second = on_machine("two")
    assert second.journal.read_text() == "begun\n"
    second.journal.write_text("begun\nended\n")
    second.publish()
    assert on_machine("one").journal.read_text() == "begun\nended\n"
    on_machine("two").journal.write_text("begun\nended\nfurther\n")  # Not published: the machine was lost for a while.
    assert on_machine("two").journal.read_text() == "begun\nended\nfurther\n"


def test_a_copy_that_fails_is_postponed_and_at_the_end_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bdw.storage.retry.FIRST_PAUSE", 0.01)
    paths = Paths("sweep", str(tmp_path / "here"), f"file://{tmp_path}/storage/sweep")
    paths.prepare()
    for name in ("study.journal", "report.html", "trials.csv"):
        (paths.path / name).write_text(name)
    push, calls = RemoteFolder.push, iter([OSError("AWS Error SLOW_DOWN"), None, pa.ArrowInvalid("no"), None, OSError])

    def flaky(folder: RemoteFolder, path: Path, name: str) -> None:
        if failure := next(calls, None):
            raise failure
        push(folder, path, name)

    monkeypatch.setattr(RemoteFolder, "push", flaky)
    copied = tmp_path / "storage" / "sweep"
    with caplog.at_level(logging.WARNING):
        paths.publish()
    assert [path.name for path in copied.iterdir()] == ["study.journal"], "one failure keeps no other file back"
    assert len(caplog.records) == 1
    assert "2 file(s), report.html first: AWS Error SLOW_DOWN" in caplog.text
    paths.publish(at_end=True)
    assert {path.name: path.read_text() for path in copied.iterdir()} == {
        name: name for name in ("study.journal", "report.html", "trials.csv")
    }


def test_a_storage_that_stays_away_to_the_end_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeps.runner.paths.PATIENCE", 0.0)
    paths = Paths("sweep", str(tmp_path / "here"), f"file://{tmp_path}/storage/sweep")
    paths.prepare()
    paths.journal.write_text("begun\n")
    shutil.rmtree(tmp_path / "storage")
    (tmp_path / "storage").write_text("no folder")
    paths.publish()
    with pytest.raises(InputError, match=r"storage_path: .*storage/sweep \(1 file.*the same command tries again$"):
        paths.publish(at_end=True)


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "with space"])
def test_names_that_are_no_folders(name: str) -> None:
    with pytest.raises(InputError, match=r"name: .* cannot be a folder's name"):
        Paths.of("/a", name)


def test_a_storage_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="storage_path: cannot write"):
        Paths.of(str(tmp_path / "file"), "sweep").prepare()
    with pytest.raises(InputError, match="storage_path: cannot write"):
        Paths.of(f"file://{tmp_path}/file", "sweep").prepare()
    with pytest.raises(InputError, match=r"storage_path: .* cannot be used"):
        Paths.of("nonsense://x", "sweep").prepare()


def test_what_makes_results_comparable() -> None:
    assert "seed" not in portable(CONFIG)
    assert "run_dir" not in portable(CONFIG)
    assert portable(CONFIG.replace(epochs=77))["epochs"] == 77
