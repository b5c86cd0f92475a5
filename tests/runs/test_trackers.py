"""Trackers hear of every epoch's finite numbers, go on where a run is resumed, and never cost it."""

from __future__ import annotations

import importlib
import json
import logging
import posixpath
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import bdw
from bdw.config import RunConfig
from bdw.config.identity import settings
from bdw.errors import InputError
from bdw.runs import trackers
from bdw.runs.trackers import RECORD, Trackers

ROW = {"epoch": 2, "loss": 0.5, "meta_loss": float("nan"), "is_best": True, "kept": 7}
NUMBERS = {"loss": 0.5, "is_best": 1.0, "kept": 7.0}


def scalars(folder: Path) -> Iterator[tuple[str, int, float]]:
    """Tag, step and value of all scalars in a folder's event files, in the order in which they began."""
    from tensorboardX.proto.event_pb2 import Event

    for file in sorted(folder.glob("events.out.tfevents.*")):
        contents = file.read_bytes()
        while contents:
            (length,) = struct.unpack("<Q", contents[:8])
            event = Event.FromString(contents[12 : 12 + length])
            contents = contents[16 + length :]
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    yield value.tag, event.step, value.simple_value


def test_a_run_leaves_its_epochs_in_tensorboards_files(tmp_path: Path) -> None:
    wishes: dict[str, Any] = {"preset": "digits", "max_source": 64, "epochs": 2, "run_dir": str(tmp_path / "run")}
    result = bdw.fit(**wishes, trackers=("tensorboard",))
    found = list(scalars(tmp_path / "run" / "tensorboard"))
    assert [(step, pytest.approx(value)) for tag, step, value in found if tag == "loss"] == [
        (report.epoch, report.loss) for report in result.history
    ]
    assert [step for tag, step, _ in found if tag == "validation_score"] == [1, 2]
    assert json.loads((tmp_path / "run" / RECORD).read_text()) == {"tensorboard": "tensorboard"}
    bdw.fit(**{**wishes, "epochs": 3}, resume=True, trackers=("tensorboard",))
    assert [step for tag, step, _ in scalars(tmp_path / "run" / "tensorboard") if tag == "loss"] == [1, 2, 3]


def test_trackers_are_no_part_of_a_runs_identity() -> None:
    assert "trackers" not in settings(RunConfig().replace(trackers=("tensorboard",)))


class FakeWandb:
    """As much of wandb as is used."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def init(self, **options: Any) -> FakeWandb:
        self.calls.append(("init", options))
        return self

    def log(self, numbers: dict[str, float], step: int) -> None:
        self.calls.append(("log", (numbers, step)))

    def finish(self) -> None:
        self.calls.append(("finish", None))


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_resumed_run_goes_on_under_its_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("WANDB_PROJECT", "WANDB_MODE", "TRACKIO_PROJECT"):
        monkeypatch.delenv(variable, raising=False)
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, name, fake)
    for epoch in (2, 3):
        tracked = Trackers((name,), tmp_path, {"epochs": 3})
        tracked.log({**ROW, "epoch": epoch})
        tracked.end()
    assert [what for what, _ in fake.calls] == ["init", "log", "finish"] * 2
    begun = [options for what, options in fake.calls if what == "init"]
    key = "id" if name == "wandb" else "name"
    assert begun[0][key] == begun[1][key] == json.loads((tmp_path / RECORD).read_text())[name]
    assert all(options["project"] == "bdw" and options["resume"] == "allow" for options in begun)
    assert begun[0]["config"] == {"epochs": 3 if name == "wandb" else "3"}
    assert [logged for what, logged in fake.calls if what == "log"] == [(NUMBERS, 2), (NUMBERS, 3)]


def test_one_that_fails_is_left_aside_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(FakeWandb):
        def log(self, numbers: dict[str, float], step: int) -> None:
            super().log(numbers, step)
            raise ConnectionError("no network\nand more")

    failing = Failing()
    monkeypatch.setitem(sys.modules, "wandb", failing)
    monkeypatch.setitem(sys.modules, "trackio", None)  # Cannot be imported.
    tracked = Trackers(("wandb", "trackio", "tensorboard"), tmp_path, {})
    with caplog.at_level(logging.WARNING):
        for epoch in (1, 2):
            tracked.log({**ROW, "epoch": epoch})
        tracked.end()
    assert len(caplog.messages) == 2
    assert "tracker wandb: no network; the run goes on without it" in caplog.messages
    assert [what for what, _ in failing.calls] == ["init", "log"]
    assert [step for tag, step, _ in scalars(tmp_path / "tensorboard") if tag == "loss"] == [1, 2]


def test_no_tracker_leaves_nothing(tmp_path: Path) -> None:
    tracked = Trackers((), tmp_path, {})
    tracked.log(ROW)
    tracked.end()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("wandb",), r"trackers: 'wandb' needs `pip install wandb` \(the extra `wandb`\)"),
        (("trackio",), r"trackers: 'trackio' needs `pip install trackio` \(the extra `trackio`\)"),
        (("mlflo",), r"trackers: 'mlflo' is not known \(did you mean 'mlflow'\?\)"),
        (("tensorboard", "tensorboard"), "trackers: 'tensorboard' is given twice; allowed: each once"),
    ],
)
def test_what_cannot_be_had_is_said_before_any_compute(
    names: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = SimpleNamespace()
    monkeypatch.setattr(trackers, "find_spec", lambda name: there if name == "tensorboardX" else None)
    with pytest.raises(InputError, match=message):
        bdw.fit(preset="digits", trackers=names, run_dir=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of its database.
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("validation_score", "validation_score"),
        ("validation_score of birds/", "validation_score of birds"),
        ("validation_score of /srv//photos/a+b", "validation_score of /srv/photos/a_b"),
        ("validation_score of s3://bucket/birds", "validation_score of s3_/bucket/birds"),
    ],
)
def test_names_of_targets_are_made_names_that_mlflow_takes(name: str, expected: str) -> None:
    found = trackers.mlflow_name(name)
    assert found == expected
    # The rules of mlflow.utils.validation.
    assert re.fullmatch(r"[/\w.\- ]*", found)
    assert posixpath.normpath(found) == found


def test_mlflow_itself_goes_on_with_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the extra `mlflow` is not installed")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for epoch in (1, 2):
        tracked = Trackers(("mlflow",), tmp_path, {"epochs": 2})
        tracked.log({**ROW, "epoch": epoch})
        tracked.end()
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("bdw").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params == {"epochs": "2"}
    assert [point.step for point in client.get_metric_history(run.info.run_id, "loss")] == [1, 2]


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # Its web server's libraries have many.
def test_trackio_itself_keeps_the_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    trackio = pytest.importorskip("trackio", reason="the extra `trackio` is not installed")
    for epoch in (1, 2):
        tracked = Trackers(("trackio",), tmp_path, {"epochs": 2})
        tracked.log({**ROW, "epoch": epoch})
        tracked.end()
    (name,) = json.loads((tmp_path / RECORD).read_text()).values()
    (run,) = trackio.Api().runs("bdw")
    assert run.name == name
    points = importlib.import_module("trackio.sqlite_storage").SQLiteStorage.get_logs("bdw", name)
    assert [(point["step"], point["loss"]) for point in points] == [(1, 0.5), (2, 0.5)]
    assert set(points[0]) <= {*NUMBERS, "step", "timestamp"}, "the run's own numbers, and none of the machine"
