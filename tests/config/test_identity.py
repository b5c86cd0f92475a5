"""Which run is it: what counts, what does not, and that a field of a later version orphans nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from bdw.config import RunConfig, WeighterConfig, identity, presets, run, run_fields
from bdw.config.fields import Mark
from bdw.errors import InputError
from bdw.training.trainer import Trainer
from sweeps.runner.paths import Paths, portable
from sweeps.study.open_study import open_storage, open_study

FREE = {
    "cache_address", "cache_dir", "checkpoint_every", "checkpoint_minutes", "compile", "data_root", "device",
    "diagnose_signal", "download", "keep_checkpoints", "may_shrink", "record_trajectory", "report", "resume",
    "run_dir", "start_from", "step_timeout", "storage_path", "storage_patience", "trackers", "weights",
}  # fmt: skip
"""Fields that leave a run's result as it is. A new one is a decision."""
LENGTH = {"budget_images", "epochs", "time_budget"}


def test_what_leaves_a_result_as_it_is() -> None:
    marked = {mark: {name for name, field in run_fields().items() if mark in field.marks} for mark in Mark}
    assert marked[Mark.FREE] == FREE
    assert marked[Mark.LENGTH] == LENGTH


@pytest.mark.parametrize("name", presets.available())
def test_the_identity_is_what_differs_from_the_defaults(name: str) -> None:
    config = presets.build(name)
    settings = identity.settings(config)
    rest = {name: value for name, value in config.flat().items() if name in FREE}
    what_weights_hold = config.encoder.with_content().weights_content
    assert RunConfig().replace(**settings, **rest) == config.replace(weights_content=what_weights_hold)
    assert identity.settings(config.replace(run_dir="x", device="cpu", report=False, data_root="y")) == settings
    assert identity.settings(config.replace(seed=3))["seed"] == 3


def test_a_digest_depends_on_values_only() -> None:
    assert identity.digest({"a": 1, "b": [2]}) == identity.digest({"b": [2], "a": 1})
    assert identity.digest({"a": 1}) != identity.digest({"a": 2})
    assert len(identity.digest({})) == 10


def test_no_setting_gives_defaults_an_identity() -> None:
    assert identity.settings(RunConfig()) == {}


def test_differences_are_named_and_freedoms_are_not() -> None:
    before = RunConfig().flat()
    assert identity.differences(before, RunConfig().replace(run_dir="x", epochs=99, time_budget=3.0).flat()) == []
    assert identity.differences(before, RunConfig().replace(weight_lr=2.0).flat()) == ["weight_lr was 1.0 and is 2.0"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _LaterWeighter(WeighterConfig):
    novelty: float = 0.5
    """A field of a later version."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _LaterRun(RunConfig):
    weighter: _LaterWeighter = dataclasses.field(default_factory=_LaterWeighter)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A later version, in which the weighter has a field more; to be asked for by `_become_later`."""
    yield
    monkeypatch.undo()
    run.sections.cache_clear()
    run._run_fields.cache_clear()


def _become_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "RunConfig", _LaterRun)
    monkeypatch.setattr(identity, "RunConfig", _LaterRun)
    run.sections.cache_clear()
    run._run_fields.cache_clear()
    assert "novelty" in _LaterRun().flat()


@pytest.mark.usefixtures("later")
def test_a_run_resumes_after_a_field_was_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = {"max_source": 64, "batch_size": 32, "shots": 2, "queries": 2, "run_dir": str(tmp_path), "device": "cpu"}
    for _ in Trainer(RunConfig().replace(**tiny, epochs=1)).epochs():
        pass
    _become_later(monkeypatch)
    config = _LaterRun().replace(**tiny, epochs=2, resume=True)
    with pytest.raises(InputError, match=r"novelty was 0\.5 and is 0\.7"):
        Trainer(config.replace(novelty=0.7))
    trainer = Trainer(config)
    assert [report.epoch for report in trainer.epochs()] == [2]
    assert [report.epoch for report in trainer.history] == [1, 2]


@pytest.mark.usefixtures("later")
def test_a_sweep_continues_after_a_field_was_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def study(config: RunConfig) -> optuna.Study:
        storage = open_storage(tmp_path / "study.journal")
        return open_study(storage, "sweep", directions=["maximize"], experiment=portable(config), seed=0)

    paths, fields = Paths.of(str(tmp_path), "sweep"), {"weighter": "counts", "target_margin": 0.1, "seed": 1}
    before = RunConfig().replace(**fields)
    name = paths.run_name(before, "BDW", "data")
    study(before).add_trial(optuna.create_trial(value=0.5))
    _become_later(monkeypatch)
    now = _LaterRun().replace(**fields)
    assert paths.run_name(now, "BDW", "data") == name
    assert paths.run_name(now.replace(novelty=0.7), "BDW", "data") != name
    assert len(study(now).trials) == 1
    with pytest.raises(InputError, match=r"novelty: None there, 0\.7 here"):
        study(now.replace(novelty=0.7))
