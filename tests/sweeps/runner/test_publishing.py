"""A sweep's copy follows its trials in batches, with what changed and nothing else."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bdw.storage.remote_folder import RemoteFolder
from sweeps.runner.paths import Paths
from sweeps.runner.publishing import SECONDS_BETWEEN_COPIES, Publish

TRIAL: Any = SimpleNamespace(trial_id="a")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were sent, in order."""
    names: list[str] = []
    push = RemoteFolder.push

    def noted(folder: RemoteFolder, path: Path, name: str) -> None:
        names.append(name)
        push(folder, path, name)

    monkeypatch.setattr(RemoteFolder, "push", noted)
    return names


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths("sweep", str(tmp_path / "here"), f"file://{tmp_path}/storage/sweep")
    paths.prepare()
    paths.journal.write_text("begun\n")
    (paths.path / "config.json").write_text("{}")
    return paths


def test_many_short_trials_make_few_requests(paths: Paths, pushed: list[str]) -> None:
    """1,000 trials in 100 s: a copy at once, then one every 30 s and one at the end."""
    clock = Clock()
    publish = Publish(paths, clock)
    for number in range(1000):
        clock.now = number / 10
        with paths.journal.open("a") as journal:
            journal.write(f"trial {number} ended\n")
        publish.on_trial_complete(0, [], TRIAL)
        for _ in range(3):
            publish.on_step_end(0, [])
    publish.on_experiment_end([])
    copies = 2 + int(99.9 // SECONDS_BETWEEN_COPIES)
    assert pushed == ["config.json", "study.journal", *["study.journal"] * (copies - 1)]
    assert (paths.path.parent / "storage/sweep/study.journal").read_text() == paths.journal.read_text()


def test_nothing_is_sent_while_no_trial_ends(paths: Paths, pushed: list[str]) -> None:
    clock = Clock()
    publish = Publish(paths, clock)
    publish.on_step_end(0, [])
    publish.on_experiment_end([])
    assert pushed == []
    publish.on_trial_error(0, [], TRIAL)
    publish.on_step_end(0, [])
    clock.now = 2 * SECONDS_BETWEEN_COPIES
    publish.on_step_end(0, [])
    publish.on_experiment_end([])
    assert pushed == ["config.json", "study.journal"]


def test_what_failed_is_sent_again(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    push, failures = RemoteFolder.push, iter([OSError("AWS Error SLOW_DOWN")])

    def flaky(folder: RemoteFolder, path: Path, name: str) -> None:
        if failure := next(failures, None):
            raise failure
        push(folder, path, name)

    monkeypatch.setattr(RemoteFolder, "push", flaky)
    clock = Clock()
    publish = Publish(paths, clock)
    copied = paths.path.parent / "storage/sweep"
    publish.on_trial_complete(0, [], TRIAL)
    publish.on_step_end(0, [])
    assert sorted(path.name for path in copied.iterdir()) == ["study.journal"]
    publish.on_step_end(0, [])
    assert sorted(path.name for path in copied.iterdir()) == ["study.journal"], "not at once"
    clock.now = SECONDS_BETWEEN_COPIES
    publish.on_step_end(0, [])
    assert sorted(path.name for path in copied.iterdir()) == ["config.json", "study.journal"]


def test_tune_may_pickle_it(paths: Paths) -> None:
    assert isinstance(pickle.loads(pickle.dumps(Publish(paths))), Publish)
