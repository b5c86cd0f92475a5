"""Checkpoints: whole or not there, the last ones kept, never unpickled."""

from __future__ import annotations

import logging
import pickle
import shutil
from pathlib import Path

import pytest
import torch

from bdw.errors import InputError
from bdw.runs import checkpoint
from bdw.runs.checkpoint import Position


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_round_trip_and_keep_last(tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        checkpoint.save(tmp_path, Position(epoch), {"value": torch.tensor([epoch])})
        checkpoint.delete_superseded(tmp_path, keep=2, best_epoch=None)
    assert _names(tmp_path) == ["epoch_0002", "epoch_0003"]
    last = checkpoint.last(tmp_path)
    assert last is not None
    state = checkpoint.load(last)
    assert torch.equal(state["value"], torch.tensor([3]))


def test_order_is_by_number_and_not_by_letters(tmp_path: Path) -> None:
    for epoch in (9_998, 9_999, 10_000, 10_001):
        checkpoint.save(tmp_path, Position(epoch), {})
        checkpoint.delete_superseded(tmp_path, keep=2, best_epoch=None)
    assert _names(tmp_path) == ["epoch_10000", "epoch_10001"]


def test_the_middle_of_an_epoch_lies_between_its_neighbours(tmp_path: Path) -> None:
    places = [Position(2), Position(2, 30), Position(2, 100), Position(3)]
    assert sorted([places[3], places[1], places[0], places[2]]) == places
    for place in places:
        assert Position.of(checkpoint.save(tmp_path, place, {}).name) == place
        assert checkpoint.last(tmp_path) == tmp_path / place.name
    assert checkpoint.positions(tmp_path) == places
    (tmp_path / ".epoch_0004.abc.tmp").mkdir()
    (tmp_path / "epoch_four").mkdir()
    assert checkpoint.positions(tmp_path) == places


def test_the_best_epochs_checkpoint_is_kept_besides(tmp_path: Path) -> None:
    for place in (Position(1), Position(2), Position(2, 7), Position(3), Position(4)):
        checkpoint.save(tmp_path, place, {})
    checkpoint.delete_superseded(tmp_path, keep=2, best_epoch=2)
    assert checkpoint.positions(tmp_path) == [Position(2), Position(3), Position(4)]


def test_a_failed_write_leaves_the_old_one_and_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tmp_path, Position(1), {})

    def fail(*_: object) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc] disk full\nmore")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match=r"could not be written .*disk full") as caught:
        checkpoint.save(tmp_path, Position(2), {})
    assert caught.value.filename == str(tmp_path / "epoch_0002")
    assert _names(tmp_path) == ["epoch_0001"]


def test_what_a_killed_process_left_half_written_goes(tmp_path: Path) -> None:
    (tmp_path / ".epoch_0001.0123abcd.tmp").mkdir()
    checkpoint.save(tmp_path, Position(1), {})
    checkpoint.delete_superseded(tmp_path, keep=1, best_epoch=None)
    assert _names(tmp_path) == ["epoch_0001"]


def test_a_checkpoint_takes_the_place_of_another_of_the_same_position(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, Position(1), {"value": 1})
    path = checkpoint.save(tmp_path, Position(1), {"value": 2})
    assert checkpoint.load(path)["value"] == 2
    assert _names(tmp_path) == ["epoch_0001"]


def test_a_failed_deletion_warns_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint.save(tmp_path, Position(1), {})

    def fail(*_: object) -> None:
        raise PermissionError("no")

    monkeypatch.setattr(shutil, "rmtree", fail)
    checkpoint.save(tmp_path, Position(2), {})
    with caplog.at_level(logging.WARNING):
        checkpoint.delete_superseded(tmp_path, keep=1, best_epoch=None)
    assert "could not delete the old checkpoint" in caplog.text


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path(tmp_path / "pwned").touch, ())

    (tmp_path / "epoch_0001").mkdir()
    (tmp_path / "epoch_0001" / "state.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(InputError, match="cannot be read"):
        checkpoint.load(tmp_path / "epoch_0001")
    assert not (tmp_path / "pwned").exists()


def test_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = checkpoint.save(tmp_path, Position(1), {})
    current = checkpoint.VERSION
    monkeypatch.setattr(checkpoint, "VERSION", 99)
    with pytest.raises(
        InputError, match=f"has version {current}; allowed: 99; continue the run with the version of bdw that"
    ):
        checkpoint.load(path)


def test_all_are_deleted_and_what_lies_beside_them_stays(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    checkpoint.save(folder, checkpoint.Position(1), {"a": 1})
    (tmp_path / "metrics.csv").touch()
    (tmp_path / ".checkpoints.deleted.tmp" / "epoch_0001").mkdir(parents=True)  # of a process that was killed
    for _ in range(2):
        checkpoint.delete_all(folder)
        assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]
