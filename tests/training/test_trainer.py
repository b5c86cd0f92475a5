"""The loop: equal to plain training where it must be, resumable bit for bit, and stopped by what cannot work."""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

import bdw
from bdw import encoders
from bdw.config import REMOVED, RunConfig
from bdw.data import Problem, pack_arrays
from bdw.data.augment import random_crop_flip
from bdw.data.batches import epoch_order, global_batches
from bdw.errors import InputError, NonFiniteError, RunStopped
from bdw.evaluation import linear_probe
from bdw.parallel.randomness import Randomness, drawn_from
from bdw.parallel.stop_requests import Notice
from bdw.runs import backup, checkpoint
from bdw.runs.backup_files import checkpoints
from bdw.runs.directory import RunDirectory
from bdw.runs.metrics import TIMED, EpochReport, Silent, StepReport
from bdw.storage import retry
from bdw.storage.remote_folder import RemoteFolder
from bdw.training.trainer import Trainer, iterate
from bdw.weighting import registry as weighters
from bdw.weighting.timer import WeightingTimer
from bdw.weighting.weighters.beta import BetaWeighter
from bdw.weighting.weighters.protocol import WeighterContext, WeightSample

NUM_SOURCE = 50


def _run(config: RunConfig, problem: Problem) -> Trainer:
    trainer = Trainer(config, problem=problem)
    list(trainer.epochs())
    return trainer


def _parameters(trainer: Trainer) -> dict[str, Tensor]:
    return dict(trainer.learner.model.state_dict())


def _assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def _plain_training(config: RunConfig, problem: Problem) -> dict[str, Tensor]:
    """RotNet written out, without a line of the loop under test."""
    randomness = Randomness(config.optimiser.seed)
    with drawn_from(randomness["model"]):
        encoder = encoders.build(config.model.encoder, 1, 16)
        head = nn.Linear(encoder.feature_dim, 4)
    model = nn.ModuleDict({"encoder": encoder, "head": head}).train()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    for _ in range(config.optimiser.epochs):
        order = epoch_order(torch.arange(NUM_SOURCE), randomness["order"])
        for indices in global_batches(order, config.optimiser.batch_size):
            images = torch.from_numpy(problem.source.images[indices.numpy()])
            images = random_crop_flip(images, 12, 2, False, randomness["augmentation"])
            views = torch.stack([torch.rot90(images, q, (2, 3)) for q in range(4)], dim=1).flatten(0, 1)
            sgd.zero_grad()
            angles = torch.arange(4).repeat(len(indices))
            losses = functional.cross_entropy(head(encoder(views)), angles, reduction="none")
            losses.view(-1, 4).mean(dim=1).mean().backward()
            sgd.step()
    return dict(model.state_dict())


class _FixedAtOne(BetaWeighter):
    """Learns its Beta table as ever, but hands out ones."""

    def sample(self, indices: Tensor, generator: torch.Generator) -> WeightSample:
        drawn = super().sample(indices, generator)
        one = drawn.weights * 0 + 1
        return dataclasses.replace(drawn, weights=one)


def test_uniform_weights_are_plain_training_bit_for_bit(config: RunConfig, problem: Problem) -> None:
    trainer = _run(config.replace(weighter="uniform"), problem)
    _assert_equal(_parameters(trainer), _plain_training(config, problem))


def test_weights_fixed_at_one_without_pruning_are_plain_training_bit_for_bit(
    config: RunConfig, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The meta pass, the tangents and the weights' draws must leave no trace in the model."""

    def build(context: WeighterContext) -> BetaWeighter:
        return _FixedAtOne.from_context(context)

    plain = _run(config.replace(weighter="uniform"), problem)
    monkeypatch.setattr(weighters, "build", build)
    weighted = _run(config.replace(prune=False, run_dir=config.output.run_dir + "-weighted"), problem)
    assert weighted.learner.meta_loss is not None
    assert not math.isnan(weighted.history[-1].meta_loss)
    _assert_equal(_parameters(weighted), _parameters(plain))


@pytest.mark.parametrize(
    "options",
    [
        {"cdf_threshold": 0.4},
        {
            **{"weighter": "counts", "meta_loss": "pretext", "target_batch": 16, "direction_momentum": 0.9},
            **{"direction_parameters": "head", "relative_derivatives": True, "centred_derivatives": True},
            **{"cdf_threshold": 0.5, "density_threshold": 0.6},
        },
        {
            **{"weighter": "counts", "meta_loss": "pretext", "target_batch": 16, "shared_derivatives": True},
            **{"centred_derivatives": True, "cdf_threshold": 0.5, "density_threshold": 0.6, "direction_every": 3},
        },
        {
            **{"weighter": "counts", "meta_loss": "pretext", "target_batch": 16, "shared_derivatives": True},
            **{"direction_parameters": "head", "natural_direction": True, "direction_momentum": 0.9},
            **{"centred_derivatives": True, "cdf_threshold": 0.5, "density_threshold": 0.6},
        },
        {
            **{"weighter": "counts", "meta_loss": "pretext", "target_batch": 16, "target_margin": 0.5},
            **{"direction_parameters": "head", "direction_every": 2, "target_statistics": "source"},
            **{"cdf_threshold": 0.5, "density_threshold": 0.6},
        },
        {"cdf_threshold": 0.4, "precision": "bfloat16"},
    ],
    ids=["paper", "counts", "shared", "natural", "verdicts", "bfloat16"],
)
def test_resumed_runs_end_bit_for_bit_where_undisturbed_ones_do(
    options: dict[str, Any], config: RunConfig, problem: Problem
) -> None:
    settings = config.replace(epochs=4, **options)
    whole = _run(settings, problem)
    parts = settings.replace(run_dir=config.output.run_dir + "-parts", resume=True)
    for _ in range(4):  # a new process's worth of state for every epoch
        next(iterate(parts, problem=problem))
    resumed = Trainer(parts, problem=problem)
    assert whole.mask.count < NUM_SOURCE, "nothing was pruned, so pruning was not tested"
    _assert_same_end(resumed, whole)
    run, other = Path(settings.output.run_dir), Path(parts.output.run_dir)
    assert (run / "instance_weights.parquet").read_bytes() == (other / "instance_weights.parquet").read_bytes()
    _assert_equal(*(safetensors.torch.load_file(folder / "encoder.safetensors") for folder in (run, other)))


def test_verdicts_on_a_pool_with_black_and_white_images(config: RunConfig, problem: Problem, tmp_path: Path) -> None:
    """Which have no composition at all: every image is judged once an epoch, by a number."""
    images = np.array(problem.source.images)
    images[:5], images[5:10] = 0, 255
    blanks = Problem(pack_arrays(tmp_path / "blanks", images), problem.target)
    options = {"weighter": "counts", "meta_loss": "pretext", "target_margin": 0.5, "prune": False}
    trained = _run(config.replace(epochs=2, weight_lr=0.5, **options), blanks)
    table = trained.learner.weighter.table()
    np.testing.assert_allclose(table.a + table.b, 2 + 2 * 0.5)
    assert len(np.unique(table.a)) > NUM_SOURCE / 2
    assert trained.learner.verdicts is not None
    assert trained.learner.verdicts.state_dict()["moments"].isfinite().all()


def _assert_same_end(one: Trainer, other: Trainer) -> None:
    _assert_equal(_parameters(one), _parameters(other))
    _assert_equal(one.learner.weighter.state_dict(), other.learner.weighter.state_dict())
    _assert_equal(one.mask.state_dict(), other.mask.state_dict())
    _assert_equal(one.learner.randomness.state_dict(), other.learner.randomness.state_dict())
    for first, second in zip(one.history, other.history, strict=True):
        rows = [{k: v for k, v in report.row().items() if k not in TIMED} for report in (first, second)]
        assert rows[0] == pytest.approx(rows[1], rel=0, abs=0, nan_ok=True)


@pytest.mark.parametrize(
    "settings",
    [
        {"weighter": "beta"},
        {"weighter": "beta", "meta_every": 2, "direction_every": 2},
        {"weighter": "counts", "meta_loss": "pretext", "target_batch": 16, "target_margin": 0.5},
        {"weighter": "point"},
        {"weighter": "l2rw"},
        {"weighter": "uniform"},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_a_run_stopped_after_every_other_step_ends_bit_for_bit_where_an_undisturbed_one_does(
    config: RunConfig, problem: Problem, settings: dict[str, Any]
) -> None:
    config = config.replace(cdf_threshold=0.4, **settings)
    whole = _run(config, problem)
    parts, stops = config.replace(run_dir=config.output.run_dir + "-parts", resume=True), []
    finished = False
    while not finished:
        notices = iter([None, Notice("gone", stop=True)])
        trainer = Trainer(parts, problem=problem, notice_board=lambda notices=notices: next(notices, None))
        try:
            list(trainer.epochs())
            finished = True
        except RunStopped as stopped:
            stops.append(stopped.checkpoint)
    assert stops[:2] == ["epoch 0 and 2 steps", "epoch 0 and 4 steps"]
    assert len(stops) > 2
    _assert_same_end(trainer, whole)


class _EveryLearningStepTakesTwoSeconds(WeightingTimer):
    def take(self) -> float:
        return 2.0 if super().take() else 0.0


def test_seconds_spent_on_weighting_are_counted_through_stops_in_the_middle_of_epochs(
    config: RunConfig, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bdw.training.build, "WeightingTimer", _EveryLearningStepTakesTwoSeconds)
    config = config.replace(meta_every=3, prune=False, resume=True)
    finished = False
    while not finished:
        notices = iter([None, Notice("gone", stop=True)])
        trainer = Trainer(config, problem=problem, notice_board=lambda notices=notices: next(notices, None))
        try:
            list(trainer.epochs())
            finished = True
        except RunStopped:
            pass
    # Four steps an epoch, of which the first and the fourth learn.
    assert [report.steps for report in trainer.history] == [4, 4, 4]
    assert [report.weighting_seconds for report in trainer.history] == [4.0, 8.0, 12.0]
    assert [report.saved_seconds for report in trainer.history] == [0.0, 0.0, 0.0]


def test_what_is_pruned_is_saved_at_the_price_of_what_is_trained_on(config: RunConfig, problem: Problem) -> None:
    trainer = _run(config.replace(weighter="uniform"), problem)
    assert {(report.weighting_seconds, report.saved_seconds) for report in trainer.history} == {(0.0, 0.0)}
    pruned = _run(config.replace(weighter="oracle", run_dir=config.output.run_dir + "-pruned"), problem)
    seconds = np.cumsum([report.seconds for report in pruned.history])
    # Half of the images are junk: the other half cost as much.
    assert [report.saved_seconds for report in pruned.history] == pytest.approx(seconds)


def test_the_clock_saves_in_the_middle_of_an_epoch_and_leaves_no_trace(config: RunConfig, problem: Problem) -> None:
    whole = _run(config, problem)
    often = config.replace(run_dir=config.output.run_dir + "-often", checkpoint_minutes=1e-9, keep_checkpoints=100)
    saved = _run(often, problem)
    _assert_same_end(saved, whole)
    places = checkpoint.positions(Path(often.output.run_dir) / "checkpoints")
    assert {place for place in places if place.epochs == 0} == {(0, step) for step in (1, 2, 3, 4)}
    assert checkpoint.Position(3) in places


def test_a_checkpoint_that_fails_for_a_while_is_written_in_the_end(
    config: RunConfig, problem: Problem, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.001)
    save, calls = checkpoint.save, itertools.count()

    def fails_twice(*arguments: Any) -> Path:
        if next(calls) < 2:
            raise OSError(5, "Input/output error")
        return save(*arguments)

    monkeypatch.setattr(checkpoint, "save", fails_twice)
    assert len(list(iterate(config, problem=problem))) == 3
    assert "writing the checkpoint after epoch 1 failed ([Errno 5] Input/output error); trying again" in caplog.text
    assert "succeeded after 2 failure(s)" in caplog.text


def test_a_copy_that_fails_for_a_while_is_made_up_for(
    config: RunConfig, problem: Problem, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The storage is a folder that goes away and comes back."""
    storage = tmp_path / "storage" / "run"
    reports = iterate(config.replace(storage_path=str(storage)), problem=problem)
    next(reports)
    assert [place.name for place in checkpoints(RemoteFolder.at(str(storage)))] == ["epoch_0001"]
    storage.rename(tmp_path / "away")
    storage.touch()  # A file where a folder should be: every write fails.
    next(reports)
    assert "copying the run to" in caplog.text
    assert "the next checkpoint tries again" in caplog.text
    storage.unlink()
    (tmp_path / "away").rename(storage)
    next(reports)
    assert checkpoint.Position(3) in checkpoints(RemoteFolder.at(str(storage)))
    assert (storage / "results.parquet").is_file()


def test_another_machine_goes_on_from_the_copy(config: RunConfig, problem: Problem, tmp_path: Path) -> None:
    whole = _run(config, problem)
    copied = config.replace(run_dir=str(tmp_path / "one"), storage_path=f"file://{tmp_path}/storage")
    reports = iterate(copied, problem=problem)
    next(reports)
    reports.close()
    elsewhere = copied.replace(run_dir=str(tmp_path / "two"), resume=True)
    _assert_same_end(_run(elsewhere, problem), whole)
    with pytest.raises(InputError, match=r"storage_path: .*/storage already holds a run \(after epoch 3\)"):
        Trainer(copied.replace(run_dir=str(tmp_path / "three")), problem=problem)
    with pytest.raises(InputError, match=r"holds another run.*: seed was 0 and is 1"):
        Trainer(elsewhere.replace(run_dir=str(tmp_path / "four"), seed=1), problem=problem)


def test_a_copy_of_another_run_does_not_take_this_ones_place(
    config: RunConfig, problem: Problem, tmp_path: Path
) -> None:
    copied = config.replace(run_dir=str(tmp_path / "one"), storage_path=str(tmp_path / "storage"))
    _run(copied, problem)
    mine = config.replace(run_dir=str(tmp_path / "mine"), seed=1)
    reports = iterate(mine, problem=problem)
    next(reports)
    reports.close()
    metrics = (tmp_path / "mine" / "metrics.csv").read_bytes()
    with pytest.raises(InputError, match=r"storage_path: .*storage holds another run.*: seed was 0 and is 1"):
        Trainer(mine.replace(storage_path=copied.output.storage_path, resume=True), problem=problem)
    assert (tmp_path / "mine" / "metrics.csv").read_bytes() == metrics
    assert checkpoint.positions(tmp_path / "mine" / "checkpoints") == [checkpoint.Position(1)]


@pytest.mark.parametrize("storage", ["run", "run/copy", "."])
def test_a_copy_lies_apart_from_its_run(config: RunConfig, problem: Problem, tmp_path: Path, storage: str) -> None:
    with pytest.raises(InputError, match=r"storage_path: .* lie in each other; allowed: a folder apart"):
        Trainer(config.replace(storage_path=str(tmp_path / storage)), problem=problem)


def test_storage_that_worked_when_the_run_began_is_waited_for(
    config: RunConfig,
    problem: Problem,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A group of workers that is started again must not give up where one that goes on would not."""
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.001)
    storage = tmp_path / "storage"
    storage.touch()  # A file where a folder should be.

    def comes_back(remote: RemoteFolder) -> list[checkpoint.Position]:
        if storage.is_file():
            storage.unlink()
            raise OSError("no route to host")
        return checkpoints(remote)

    monkeypatch.setattr(backup, "checkpoints", comes_back)
    trainer = Trainer(config.replace(storage_path=str(storage)), problem=problem, storage_is_known=True)
    assert len(list(trainer.epochs())) == 3
    assert "failed (no route to host); trying again" in caplog.text


def test_a_damaged_checkpoint_is_set_aside_for_the_one_before_it(
    config: RunConfig, problem: Problem, caplog: pytest.LogCaptureFixture
) -> None:
    whole = _run(config, problem)
    parts = config.replace(run_dir=config.output.run_dir + "-parts", resume=True)
    reports = iterate(parts, problem=problem)
    next(reports), next(reports)
    reports.close()
    folder = Path(parts.output.run_dir) / "checkpoints"
    state = folder / "epoch_0002" / "state.pt"
    state.write_bytes(state.read_bytes()[:1000])
    resumed = Trainer(parts, problem=problem)
    assert [report.epoch for report in resumed.history] == [1]
    assert "epoch_0002 cannot be read" in caplog.text
    assert "going on from epoch_0001" in caplog.text
    assert (folder / "damaged_epoch_0002").is_dir()
    list(resumed.epochs())
    _assert_same_end(resumed, whole)


def test_where_all_checkpoints_are_damaged_nothing_is_begun_anew(config: RunConfig, problem: Problem) -> None:
    reports = iterate(config, problem=problem)
    next(reports)
    reports.close()
    (Path(config.output.run_dir) / "checkpoints" / "epoch_0001" / "state.pt").unlink()
    with pytest.raises(InputError, match=r"epoch_0001 cannot be read: it has no state\.pt, and there is no older one"):
        Trainer(config.replace(resume=True), problem=problem)


def test_the_watchdog_sleeps_while_a_checkpoint_is_written(
    config: RunConfig, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It watches every step, but a slow disk between two steps is no hang."""
    events: list[str] = []

    class Recorder:
        def __enter__(self) -> None:
            events.append("watch")

        def __exit__(self, *_: object) -> None:
            events.append("rest")

        def pat(self) -> None:
            events.append("watch")

        def rest(self) -> None:
            events.append("rest")

    save = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", lambda *arguments: (events.append("save"), save(*arguments))[1])
    trainer = Trainer(config.replace(checkpoint_minutes=1e-9, epochs=1), problem=problem)
    trainer._watchdog = Recorder()  # type: ignore[assignment]
    list(trainer.epochs())
    assert events == ["watch", *["rest", "save", "watch"] * 4, "rest", "save"]


def test_what_no_run_could_continue_from_is_never_saved(config: RunConfig, problem: Problem) -> None:
    """The last step before a notice ruined a parameter, which no loss has shown yet."""

    def ruin() -> Notice | None:
        with torch.no_grad():
            next(iter(trainer.learner.model.parameters())).fill_(math.nan)
        return Notice("the node goes", stop=False)

    trainer = Trainer(config, problem=problem, notice_board=ruin)
    with pytest.raises(NonFiniteError, match="a parameter is not finite at step 1 of epoch 1"):
        list(trainer.epochs())
    assert checkpoint.positions(Path(config.output.run_dir) / "checkpoints") == []


def test_metrics_that_cannot_be_written_for_a_while_are_written_in_the_end(
    config: RunConfig, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.001)
    write, calls = RunDirectory.write_metrics, itertools.count()

    def fails_at_first(run: RunDirectory, history: list[EpochReport]) -> None:
        if next(calls) % 2 == 0:
            raise OSError(5, "Input/output error")
        write(run, history)

    monkeypatch.setattr(RunDirectory, "write_metrics", fails_at_first)
    assert len(list(iterate(config, problem=problem))) == 3
    assert len((Path(config.output.run_dir) / "metrics.csv").read_text().splitlines()) == 4


def test_another_machine_goes_on_from_an_object_store(
    config: RunConfig, problem: Problem, tmp_path: Path, s3_address: str
) -> None:
    whole = _run(config, problem)
    copied = config.replace(run_dir=str(tmp_path / "one"), storage_path=s3_address)
    reports = iterate(copied, problem=problem)
    next(reports)
    reports.close()
    _assert_same_end(_run(copied.replace(run_dir=str(tmp_path / "two"), resume=True), problem), whole)


def test_storage_that_cannot_be_written_is_refused_before_training(
    config: RunConfig, problem: Problem, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="storage_path: cannot write to"):
        Trainer(config.replace(storage_path=str(tmp_path / "file" / "run")), problem=problem)


def test_stopping_early_is_not_asking_for_the_next_epoch(config: RunConfig, problem: Problem) -> None:
    reports = iterate(config, problem=problem)
    assert next(reports).epoch == 1
    reports.close()
    path = checkpoint.last(Path(config.output.run_dir) / "checkpoints")
    assert path is not None
    assert len(checkpoint.load(path)["history"]) == 1
    later = list(iterate(config.replace(resume=True), problem=problem))
    assert [report.epoch for report in later] == [2, 3]


def test_a_finished_run_leaves_everything_behind(config: RunConfig, problem: Problem) -> None:
    run = Path(config.output.run_dir)
    history = list(iterate(config, problem=problem))
    saved = json.loads((run / "config.json").read_text())
    assert RunConfig.from_flat(saved["config"]) == config
    assert saved["source"]["content_key"] == problem.source.content_key
    target = problem.target
    counted = {"train": len(target.train), "validation": len(target.validation), "test": len(target.test)}
    assert saved["source"]["target_images"] == counted
    assert torch.__version__.startswith(saved["versions"]["torch"])
    lines = (run / "metrics.csv").read_text().splitlines()
    assert lines[0].split(",") == list(history[0].row())
    assert len(lines) == 1 + config.optimiser.epochs
    weights = pq.read_table(run / "instance_weights.parquet")
    assert weights.column_names == [
        "index", "name", "a", "b", "mean", "variance", "kept", "pruned_at_epoch", "planted", "kind",
    ]  # fmt: skip
    assert weights["index"].to_pylist() == list(range(NUM_SOURCE))
    assert sum(weights["kept"].to_pylist()) == history[-1].kept
    results = pq.read_table(run / "results.parquet").to_pylist()
    assert {row["metric"] for row in results} == {"accuracy", "validation_accuracy", "planted_auroc"}
    assert all(0 <= row["value"] <= 1 for row in results)
    best = max(report.epoch for report in history if report.is_best)
    kept = {checkpoint.Position(epoch) for epoch in (best, *range(2, 4))}
    assert set(checkpoint.positions(run / "checkpoints")) == kept
    # No temporary file is left over.
    assert not [p for p in run.rglob("*") if p.name.endswith(".tmp")]


def test_counts_instances_and_target_images(config: RunConfig, problem: Problem) -> None:
    history = list(iterate(config.replace(prune=False), problem=problem))
    steps = math.ceil(NUM_SOURCE / 16)
    assert [r.instances_seen for r in history] == [NUM_SOURCE, 2 * NUM_SOURCE, 3 * NUM_SOURCE]
    assert history[-1].target_instances_seen == 3 * steps * 3 * (2 + 2)
    assert history[0].steps == steps


def test_the_listener_hears_every_step_and_epoch(config: RunConfig, problem: Problem) -> None:
    class Recorder(Silent):
        def __init__(self) -> None:
            self.steps: list[StepReport] = []
            self.epochs: list[EpochReport] = []

        def on_step(self, report: StepReport) -> None:
            self.steps.append(report)

        def on_epoch(self, report: EpochReport) -> None:
            self.epochs.append(report)

    recorder = Recorder()
    history = list(iterate(config.replace(prune=False), problem=problem, listener=recorder))
    assert recorder.epochs == history
    assert [(r.epoch, r.step) for r in recorder.steps] == [(e, s) for e in (1, 2, 3) for s in (1, 2, 3, 4)]


def test_the_learning_rate_falls_after_its_milestones(config: RunConfig, problem: Problem) -> None:
    history = list(iterate(config.replace(lr_milestones=[1, 2]), problem=problem))
    assert [r.learning_rate for r in history] == pytest.approx([0.1, 0.01, 0.001])


def test_evaluation_can_be_rarer_but_never_misses_the_last_epoch(config: RunConfig, problem: Problem) -> None:
    history = list(iterate(config.replace(evaluate_every=2), problem=problem))
    assert [math.isnan(r.validation_score) for r in history] == [True, False, False]


def test_everything_pruned_keeps_a_floor_and_says_so(
    config: RunConfig, problem: Problem, caplog: pytest.LogCaptureFixture
) -> None:
    settings = config.replace(cdf_threshold=0.9, density_threshold=0.9, min_kept=40)
    with caplog.at_level(logging.WARNING):
        history = list(iterate(settings, problem=problem))
    assert [r.kept for r in history] == [40, 40, 40]
    assert "kept the 40" in caplog.text


def test_counts_that_would_prune_everything_keep_the_share_that_is_asked_for(
    config: RunConfig, problem: Problem, caplog: pytest.LogCaptureFixture
) -> None:
    settings = config.replace(weighter="counts", cdf_threshold=0.9, density_threshold=0.9, min_kept=None)
    with caplog.at_level(logging.WARNING):
        history = list(iterate(settings.replace(kept_share=0.7), problem=problem))
    assert [r.kept for r in history] == [35, 35, 35], "7 of 10 of the 50"
    assert "kept the 35" in caplog.text


def test_a_random_subset_is_all_that_is_trained_on(config: RunConfig, problem: Problem) -> None:
    trainers = [
        _run(
            config.replace(
                weighter="random", kept_share=0.6, min_kept=None, seed=seed, run_dir=f"{config.output.run_dir}-{number}"
            ),
            problem,
        )
        for number, seed in enumerate((0, 0, 1))
    ]
    first, again, other = (trainer.mask.kept for trainer in trainers)
    assert [report.kept for report in trainers[0].history] == [30, 30, 30]
    assert [report.instances_seen for report in trainers[0].history] == [30, 60, 90]
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_loss_that_is_not_finite_stops_the_run_and_leaves_the_checkpoint(
    config: RunConfig, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(config, problem=problem)
    reports = trainer.epochs()
    next(reports)
    with torch.no_grad():
        trainer.learner.model.head.weight[0, 0] = math.nan  # type: ignore[index]
    with pytest.raises(NonFiniteError, match=r"loss is not finite at step 1 of epoch 2"):
        next(reports)
    path = checkpoint.last(Path(config.output.run_dir) / "checkpoints")
    assert path is not None
    state = checkpoint.load(path)
    assert len(state["history"]) == 1
    assert all(bool(value.isfinite().all()) for value in state["model"].values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 51}, "batch_size: 51 is larger than the source of 50 images"),
        ({"ways": 4}, r"ways \(K\): 4 classes needed but the target has 3"),
        ({"shots": 7}, r"class 'a' has 8"),
        ({"encoder": "resnet9"}, "encoder: 'resnet9' is not known"),
        ({"pretext": "jigsaw"}, "pretext: 'jigsaw' is not known"),
        ({"weighter": "alpha"}, "weighter: 'alpha' is not known"),
        ({"cdf_threshold": 0.6}, r"cdf_threshold \(lambda\): 0.6 is above density_threshold \(rho\) 0.5"),
        ({"meta_loss": "proto"}, "meta_loss: 'proto' is not known"),
    ],
)
def test_what_cannot_work_stops_before_any_compute(
    config: RunConfig, problem: Problem, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Trainer(config.replace(**changes), problem=problem)
    assert not Path(config.output.run_dir).exists(), "a run that never began must leave nothing behind"


def test_another_runs_folder_is_left_alone(config: RunConfig, problem: Problem) -> None:
    next(iterate(config, problem=problem))
    with pytest.raises(InputError, match="already holds a run; choose another --run-dir, or continue it with --resume"):
        Trainer(config, problem=problem)
    with pytest.raises(InputError, match=r"another run.*weight_lr was 50.0 and is 3.0"):
        Trainer(config.replace(resume=True, weight_lr=3.0), problem=problem)
    next(iterate(config.replace(resume=True), problem=problem))
    with pytest.raises(InputError, match="epochs: 1 is less than the 2 already trained"):
        Trainer(config.replace(resume=True, epochs=1), problem=problem)


def test_a_checkpoint_says_itself_what_it_belongs_to(config: RunConfig, problem: Problem) -> None:
    """Also where config.json was lost, or the images behind the same names have changed."""
    next(iterate(config, problem=problem))
    other = dataclasses.replace(problem, target=dataclasses.replace(problem.target, key="another"))
    with pytest.raises(InputError, match=r"target: .*trained on other images \(content key key, now another\)"):
        Trainer(config.replace(resume=True), problem=other)
    (Path(config.output.run_dir) / "config.json").unlink()
    (Path(config.output.run_dir) / "metrics.csv").unlink()
    with pytest.raises(InputError, match=r"checkpoint .*another run.*weight_lr was 50.0 and is 3.0"):
        Trainer(config.replace(resume=True, weight_lr=3.0), problem=problem)
    with pytest.raises(InputError, match="already holds a run"):
        Trainer(config, problem=problem)


@pytest.mark.parametrize("has_config", [True, False], ids=["config.json", "checkpoint alone"])
def test_a_run_of_an_earlier_version_goes_on_unless_it_used_what_is_gone(
    config: RunConfig, problem: Problem, has_config: bool
) -> None:
    next(iterate(config, problem=problem))
    run = Path(config.output.run_dir)

    def as_if(fields: Mapping[str, Any]) -> None:
        """The run was one of an earlier version, which had these fields."""
        described = json.loads((run / "config.json").read_text())
        described["config"] |= fields
        (run / "config.json").write_text(json.dumps(described))
        if not has_config:
            (run / "config.json").unlink()
            (run / "metrics.csv").unlink(missing_ok=True)
        path = checkpoint.last(run / "checkpoints")
        assert path is not None
        state = torch.load(path / "state.pt", weights_only=True)
        torch.save(state | {"config": state["config"] | fields}, path / "state.pt")

    as_if(REMOVED)
    next(iterate(config.replace(resume=True), problem=problem))
    as_if({"pruned_for": 2})
    with pytest.raises(InputError, match="pruned_for: 2 is from an earlier version and the option is gone"):
        Trainer(config.replace(resume=True), problem=problem)


def test_a_folder_where_nothing_was_computed_yet_is_free(config: RunConfig, problem: Problem) -> None:
    """A run that was stopped in its first epoch, and what a killed process leaves of a file it was writing."""
    Trainer(config, problem=problem)
    run = Path(config.output.run_dir)
    (run / ".metrics.csv.12345678.tmp").touch()
    assert len(list(iterate(config.replace(weight_lr=3.0), problem=problem))) == 3


def test_a_damaged_config_is_named(config: RunConfig, problem: Problem) -> None:
    next(iterate(config, problem=problem))
    path = Path(config.output.run_dir) / "config.json"
    path.write_text(path.read_text()[:40])
    with pytest.raises(InputError, match=r"run_dir: .*config.json cannot be read"):
        Trainer(config.replace(resume=True), problem=problem)


def test_resuming_writes_what_a_crash_at_the_end_left_out(
    config: RunConfig, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    config = config.replace(storage_patience=0)  # A full disk is tried again for a minute otherwise.
    with monkeypatch.context() as patch:
        patch.setattr("bdw.training.finish.write_results", crash)
        with pytest.raises(OSError, match="No space left"):
            list(iterate(config, problem=problem))
    run = Path(config.output.run_dir)
    assert not (run / "results.parquet").exists()
    (run / "metrics.csv").unlink()
    assert list(iterate(config.replace(resume=True), problem=problem)) == []
    assert len((run / "metrics.csv").read_text().splitlines()) == 4
    files = [run / name for name in ("encoder.safetensors", "instance_weights.parquet", "results.parquet")]
    assert all(file.exists() for file in files)
    written = [file.stat().st_mtime_ns for file in files]
    assert list(iterate(config.replace(resume=True), problem=problem)) == []
    assert [file.stat().st_mtime_ns for file in files] == written, "nothing was missing, so nothing was to be done"


def test_a_longer_run_replaces_the_shorter_ones_results(config: RunConfig, problem: Problem) -> None:
    run = Path(config.output.run_dir)
    list(iterate(config, problem=problem))
    first = json.loads((run / "config.json").read_text())
    assert first["resumed"] == []
    longer = config.replace(epochs=4, resume=True)
    history = list(iterate(longer, problem=problem))
    saved = json.loads((run / "config.json").read_text())
    assert saved["config"]["epochs"] == 4
    assert saved["created"] == first["created"]
    assert len(saved["resumed"]) == 1
    rows = pq.read_table(run / "results.parquet").to_pylist()
    assert {row["instances_seen"] for row in rows} == {history[-1].instances_seen}


def test_the_best_epochs_encoder_is_taken_home(
    config: RunConfig, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted = iter([0.5, 0.7, 0.6, 0.65])  # three epochs' validation, then the test split
    monkeypatch.setattr(linear_probe, "evaluate", lambda *_: next(scripted))
    trainer = Trainer(config, problem=problem)
    backbones = []
    for _ in trainer.epochs():
        backbones.append({n: v.clone() for n, v in trainer.learner.model.encoder.backbone.state_dict().items()})
    assert [report.is_best for report in trainer.history] == [True, True, False]
    saved = safetensors.torch.load_file(Path(config.output.run_dir) / "encoder.safetensors")
    _assert_equal(saved, backbones[1])
    results = pq.read_table(Path(config.output.run_dir) / "results.parquet").to_pylist()
    values = {row["metric"]: row["value"] for row in results}
    assert (values["validation_accuracy"], values["accuracy"]) == (0.7, 0.65)


def test_a_parameter_that_is_not_finite_never_reaches_a_checkpoint(config: RunConfig, problem: Problem) -> None:
    wild = config.replace(weighter="uniform", batch_size=50, learning_rate=3e38, weight_decay=5.0, evaluate_every=5)
    with pytest.raises(NonFiniteError, match="a parameter is not finite at step 1 of epoch 1"):
        list(iterate(wild, problem=problem))
    assert checkpoint.last(Path(config.output.run_dir) / "checkpoints") is None


def test_wall_seconds_count_checkpoints_too(
    config: RunConfig, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that checkpoints move by ten seconds, and everything else by next to nothing."""
    now = [0.0]
    save = checkpoint.save

    def tick() -> float:
        now[0] += 1e-6
        return now[0]

    def slow(*arguments: Any, **options: Any) -> Path:
        now[0] += 10.0
        return save(*arguments, **options)

    monkeypatch.setattr(checkpoint, "save", slow)
    monkeypatch.setattr(time, "perf_counter", tick)
    history = list(iterate(config, problem=problem))
    assert [report.wall_seconds for report in history] == pytest.approx([0, 10, 20], abs=0.01)


def test_a_folder_of_other_things_is_left_alone(config: RunConfig, problem: Problem) -> None:
    run = Path(config.output.run_dir)
    run.mkdir()
    (run / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"is not empty \(holds thesis.tex\)"):
        Trainer(config, problem=problem)


def test_a_damaged_checkpoint_is_named(config: RunConfig, problem: Problem) -> None:
    next(iterate(config, problem=problem))
    path = Path(config.output.run_dir) / "checkpoints" / "epoch_0001" / "state.pt"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"checkpoint .*epoch_0001 cannot be read"):
        Trainer(config.replace(resume=True), problem=problem)


def test_fit_on_the_embedded_digits_hands_over_an_encoder_and_weights(tmp_path: Path) -> None:
    config = RunConfig.from_flat({"run_dir": str(tmp_path / "run"), "epochs": 1, "max_source": 128, "shots": 2})
    result = bdw.fit(config)
    assert len(result.instance_weights) == 128
    assert len(result.history) == 1
    assert not result.encoder.training
    tensors = safetensors.torch.load_file(result.run_dir / "encoder.safetensors")
    fresh = encoders.build("small_cnn", 1, 16)
    fresh.backbone.load_state_dict(tensors, strict=True)
    images = torch.rand(2, 1, 16, 16)
    assert torch.equal(fresh.eval()(images), result.encoder(images))


def test_batches_that_do_not_fit_are_refused_before_anything_is_packed(tmp_path: Path) -> None:
    config = RunConfig.from_flat({"run_dir": str(tmp_path / "run"), "max_source": 40, "batch_size": 64})
    with pytest.raises(InputError, match="batch_size: 64 is larger than the source of 40 images"):
        Trainer(config)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_planted_junk_is_found_with_the_pretext_meta_loss(seed: int, tmp_path: Path) -> None:
    config = RunConfig.from_flat(
        {"run_dir": str(tmp_path / "run"), "meta_loss": "pretext", "prune": False, "seed": seed}
    )
    assert max(report.planted_auroc for report in itertools.islice(iterate(config), 4)) >= 0.75


def test_monitors_are_columns_and_final_measures_are_results(config: RunConfig, problem: Problem) -> None:
    config = config.replace(
        monitors=["knn_accuracy", "rankme"], final_measures=["rankme"], neighbours=3, epochs=2, evaluate_every=2
    )
    trainer = _run(config, problem)
    run = Path(config.output.run_dir)
    header = (run / "metrics.csv").read_text().splitlines()[0].split(",")
    assert header[-2:] == ["knn_accuracy", "rankme"]
    assert [math.isnan(report.monitors["rankme"]) for report in trainer.history] == [True, False]
    assert {row["metric"] for row in pq.read_table(run / "results.parquet").to_pylist()} >= {"accuracy", "rankme"}
    resumed = Trainer(config.replace(resume=True), problem=problem)
    # NaN equals nothing, so the printed forms are compared.
    assert str(resumed.history) == str(trainer.history)


def test_a_loss_is_better_when_lower(config: RunConfig, problem: Problem) -> None:
    trainer = _run(config.replace(measure="pretext_loss", epochs=4), problem)
    scores = [report.validation_score for report in trainer.history]
    best = [score < min(scores[:i], default=math.inf) for i, score in enumerate(scores)]
    assert [report.is_best for report in trainer.history] == best
    rows = pq.read_table(Path(config.output.run_dir) / "results.parquet").to_pylist()
    values = {row["metric"]: (row["value"], row["higher_is_better"]) for row in rows}
    assert values["validation_pretext_loss"] == (min(scores), False)
    assert not values["pretext_loss"][1]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"measure": "acuracy"}, "measure: 'acuracy' is not known"),
        ({"monitors": ["rankyou"]}, "monitors: 'rankyou' is not known"),
        ({"final_measures": ["loss"]}, "final_measures: 'loss' is not known"),
        ({"layer": "layer9"}, r"layer: 'layer9' is not known .*layers"),
    ],
)
def test_measures_are_checked_before_anything_loads(config: RunConfig, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Trainer(config.replace(source="nowhere", **fields))
    assert not Path(config.output.run_dir).exists()


def test_tangents_on_fewer_views_than_there_are(config: RunConfig, problem: Problem) -> None:
    exact = _run(config, problem)
    subset = _run(config.replace(run_dir=f"{config.output.run_dir}-one", tangent_views=1), problem)
    all_views = _run(config.replace(run_dir=f"{config.output.run_dir}-four", tangent_views=4), problem)
    tables = [trainer.learner.weighter.table().a for trainer in (exact, subset, all_views)]
    np.testing.assert_array_equal(tables[0], tables[2])
    assert (tables[0] != tables[1]).any()
    with pytest.raises(InputError, match=r"tangent_views: 5 cannot work, an image has 4 view\(s\) in 'rotation'"):
        Trainer(config.replace(run_dir=f"{config.output.run_dir}-five", tangent_views=5), problem=problem)
