"""What a finished run leaves behind."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch

import bdw
from bdw import encoders
from bdw.config import RunConfig
from bdw.data import Problem
from bdw.errors import InputError
from bdw.evaluation import linear_probe, semi_supervised
from bdw.report import write_run_report
from bdw.runs import checkpoint
from bdw.runs.export import read_encoder
from bdw.training.trainer import Trainer, iterate
from tests.training.comparison import assert_equal, run_to_end

NUM_SOURCE = 50


def test_a_finished_run_leaves_everything_behind(config: RunConfig, problem: Problem) -> None:
    run = Path(config.output.run_dir)
    history = list(iterate(config, problem=problem))
    saved = json.loads((run / "config.json").read_text())
    assert RunConfig().replace(**saved["config"]) == config
    assert saved["source"]["content_key"] == problem.source.content_key
    target = problem.target
    counted = {"train": len(target.train), "validation": len(target.validation), "test": len(target.test)}
    assert saved["source"]["target_images"] == counted
    assert torch.__version__.startswith(saved["versions"]["torch"])
    lines = (run / "metrics.csv").read_text().splitlines()
    assert lines[0].split(",") == list(history[0].row())
    assert len(lines) == 1 + config.budget.epochs
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


def test_an_unfinished_run_leaves_its_best_encoder_and_its_weights(
    config: RunConfig, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted = iter([0.5, 0.7, 0.6, 0.8, 0.65])  # four epochs' validation, then the test split
    monkeypatch.setattr(linear_probe, "evaluate", lambda *_: next(scripted))
    run = Path(config.output.run_dir)
    encoder, written, states = run / "encoder.safetensors", [], []
    trainer = Trainer(config.replace(epochs=4), problem=problem)
    for report in trainer.epochs():
        states.append(copy.deepcopy(trainer.learner.model.encoder.backbone.state_dict()))
        written.append(encoder.stat().st_mtime_ns)
        best = 1 if report.epoch == 1 else 2 if report.epoch < 4 else 4
        _, facts = read_encoder(encoder)
        assert facts["epoch"] == str(best)
        assert_equal(safetensors.torch.load_file(encoder), states[best - 1])
        weights = pq.read_table(run / "instance_weights.parquet")
        assert weights["mean"].to_numpy() == pytest.approx(trainer.learner.weighter.table().mean, abs=0)
        assert sum(weights["kept"].to_pylist()) == report.kept
        assert (run / "results.parquet").exists() == (report.epoch == 4)
        if report.epoch == 2:
            page = write_run_report(run).read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", " ")
            assert "The encoder of epoch 2 has a validation accuracy of 70.0 %" in page
            assert "has not finished" in page
    assert written[1] == written[2], "the best encoder was the same"
    assert "has not finished" not in write_run_report(run).read_text(encoding="utf-8")


def test_a_finished_run_that_goes_on_has_no_results_of_another_encoder(config: RunConfig, problem: Problem) -> None:
    list(iterate(config, problem=problem))
    results = Path(config.output.run_dir) / "results.parquet"
    last = Path(config.output.run_dir) / "encoder_last.safetensors"
    assert results.exists()
    assert last.exists()
    longer = iterate(config.replace(epochs=5, resume=True), problem=problem)
    next(longer)
    assert not results.exists()
    assert not last.exists()
    list(longer)
    assert results.exists()
    assert read_encoder(last)[1]["epoch"] == "5"


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
    assert_equal(saved, backbones[1])
    last = Path(config.output.run_dir) / "encoder_last.safetensors"
    assert_equal(safetensors.torch.load_file(last), backbones[2])
    assert read_encoder(last)[1]["epoch"] == "3"
    results = pq.read_table(Path(config.output.run_dir) / "results.parquet").to_pylist()
    values = {row["metric"]: row["value"] for row in results}
    assert (values["validation_accuracy"], values["accuracy"]) == (0.7, 0.65)


def test_fit_on_the_embedded_digits_hands_over_an_encoder_and_weights(tmp_path: Path) -> None:
    config = RunConfig().replace(**{"run_dir": str(tmp_path / "run"), "epochs": 1, "max_source": 128, "shots": 2})
    result = bdw.fit(config)
    assert len(result.instance_weights) == 128
    assert len(result.history) == 1
    assert not result.encoder.training
    tensors = safetensors.torch.load_file(result.run_dir / "encoder.safetensors")
    fresh = encoders.build("small_cnn", 1, 16)
    fresh.backbone.load_state_dict(tensors, strict=True)
    images = torch.rand(2, 1, 16, 16)
    assert torch.equal(fresh.eval()(images), result.encoder(images))


def test_monitors_are_columns_and_final_measures_are_results(config: RunConfig, problem: Problem) -> None:
    config = config.replace(
        monitors=["knn_accuracy", "rankme"], final_measures=["rankme"], neighbours=3, epochs=2, evaluate_every=2
    )
    trainer = run_to_end(config, problem)
    run = Path(config.output.run_dir)
    header = (run / "metrics.csv").read_text().splitlines()[0].split(",")
    assert header[-2:] == ["knn_accuracy", "rankme"]
    assert [math.isnan(report.monitors["rankme"]) for report in trainer.history] == [True, False]
    assert {row["metric"] for row in pq.read_table(run / "results.parquet").to_pylist()} >= {"accuracy", "rankme"}
    resumed = Trainer(config.replace(resume=True), problem=problem)
    # NaN equals nothing, so the printed forms are compared.
    assert str(resumed.history) == str(trainer.history)


def test_a_loss_is_better_when_lower(config: RunConfig, problem: Problem) -> None:
    trainer = run_to_end(config.replace(measure="pretext_loss", epochs=4), problem)
    scores = [report.validation_score for report in trainer.history]
    best = [score < min(scores[:i], default=math.inf) for i, score in enumerate(scores)]
    assert [report.is_best for report in trainer.history] == best
    rows = pq.read_table(Path(config.output.run_dir) / "results.parquet").to_pylist()
    values = {row["metric"]: (row["value"], row["higher_is_better"]) for row in rows}
    assert values["validation_pretext_loss"] == (min(scores), False)
    assert not values["pretext_loss"][1]


def test_the_kept_images_are_the_unlabelled_ones_of_a_final_measure(
    config: RunConfig, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    real = semi_supervised.evaluate

    def watched(encoder: Any, labelled: Any, unlabelled: Any, *rest: Any) -> float:
        given.append((len(labelled), unlabelled.rows.tolist()))
        return real(encoder, labelled, unlabelled, *rest)

    monkeypatch.setattr(semi_supervised, "evaluate", watched)
    own = config.replace(cdf_threshold=0.4, final_measures=("semi_supervised_accuracy",), semi_supervised_steps=2)
    trainer = Trainer(own, problem=problem)
    list(trainer.epochs())
    assert given == [(36, trainer.mask.kept.nonzero().flatten().tolist())], "train and validation, and what is kept"
    results = pq.read_table(trainer.run.results).to_pylist()
    (row,) = [row for row in results if row["metric"] == "semi_supervised_accuracy"]
    assert 0 <= row["value"] <= 1
    for field in ("measure", "monitors"):
        value = "semi_supervised_accuracy" if field == "measure" else ("semi_supervised_accuracy",)
        with pytest.raises(InputError, match=f"{field}: 'semi_supervised_accuracy' needs the images"):
            Trainer(config.replace(run_dir=own.output.run_dir + "-other", **{field: value}), problem=problem)
