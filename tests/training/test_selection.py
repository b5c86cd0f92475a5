"""A selector chooses before training; the weighter trains on what it chose."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from bdw.config import RunConfig
from bdw.data import Problem
from bdw.errors import InputError
from bdw.training.selection_record import METRICS
from bdw.training.summary import headline
from bdw.training.trainer import Trainer
from tests.workers import on_workers

RANDOM = {"selector": "random", "selected_count": 20}


@pytest.mark.parametrize("weighter", ["uniform", "beta"])
def test_only_what_was_chosen_is_trained_on(config: RunConfig, problem: Problem, weighter: str) -> None:
    config = config.replace(**RANDOM, weighter=weighter, prune=False, batch_size=8)
    trainer = Trainer(config, problem=problem)
    chosen = trainer.mask.kept.clone()
    assert int(chosen.sum()) == 20
    assert "chosen  20 of 50 images by random, in 0.0 s\n" in headline(trainer.state, config, problem, trainer.device)
    reports = list(trainer.epochs())
    assert [report.instances_seen for report in reports] == [20, 40, 60]
    assert {report.kept_fraction for report in reports} == {0.4}
    table = pq.read_table(trainer.run.instance_weights).to_pandas()
    np.testing.assert_array_equal(table["kept"], chosen.numpy())
    assert set(table.loc[~table["kept"], "pruned_at_epoch"]) == {1}
    if weighter == "beta":
        assert (table.loc[table["kept"], "mean"] != 0.5).all()
        assert (table.loc[~table["kept"], "mean"] == 0.5).all()


def test_a_choice_smaller_than_the_floor_stays_as_it_is(config: RunConfig, problem: Problem) -> None:
    trainer = Trainer(config.replace(**RANDOM, batch_size=8, min_kept=30), problem=problem)
    assert trainer.mask.count == 20
    assert list(trainer.epochs())[-1].kept_fraction == 0.4


def test_the_cost_is_in_the_results_and_outlives_a_resume(config: RunConfig, problem: Problem) -> None:
    config = config.replace(**{"selector": "simcore", "selector.features": "pixels", "selected_count": 30})
    first = Trainer(config.replace(weighter="uniform", epochs=3), problem=problem)
    epochs = first.epochs()
    next(epochs)
    record = first.state.selection
    assert record is not None
    assert record.cost is not None
    chosen, cost = first.mask.kept.clone(), record.cost
    resumed = Trainer(config.replace(weighter="uniform", epochs=3, resume=True), problem=problem)
    assert resumed.state.selection is not None
    assert resumed.state.selection.cost == cost
    np.testing.assert_array_equal(resumed.mask.kept, chosen)
    for _ in resumed.epochs():
        pass
    rows = {row["metric"]: row for row in pq.read_table(resumed.run.results).to_pylist()}
    assert {row["method"] for row in rows.values()} == {"simcore+uniform"}
    own = {name: rows[metric]["value"] for name, metric in METRICS.items()}
    assert own == pytest.approx(dataclasses.asdict(cost))
    # 50 images of the pool and 24 of the target, whose pixels are compared.
    assert own["images"] == 74
    assert own["seconds"] > 0
    assert not any(rows[metric]["higher_is_better"] for metric in METRICS.values())


def test_a_run_without_a_selector_has_no_cost(config: RunConfig, problem: Problem) -> None:
    trainer = Trainer(config.replace(weighter="uniform", epochs=1), problem=problem)
    for _ in trainer.epochs():
        pass
    assert "selection" not in trainer.state.state_dict()
    assert not any(row["metric"].startswith("selection") for row in pq.read_table(trainer.run.results).to_pylist())


def test_features_come_from_another_run(config: RunConfig, problem: Problem, tmp_path: Path) -> None:
    """The same choice by the run and by its encoder file; the pool is embedded once."""
    for _ in Trainer(config.replace(weighter="uniform", epochs=1), problem=problem).epochs():
        pass
    run = config.output.run_dir
    own = {
        "weighter": "uniform",
        "selector": "nearest-neighbour",
        "selected_count": 25,
        "cache_dir": str(tmp_path / "c"),
    }
    by_run, by_file = (
        Trainer(config.replace(**own, **{"selector.features": features}, run_dir=str(tmp_path / name)), problem=problem)
        for name, features in (("by-run", f"run:{run}"), ("by-file", f"{run}/encoder.safetensors"))
    )
    np.testing.assert_array_equal(by_run.mask.kept, by_file.mask.kept)
    assert len(list((tmp_path / "c").glob("features-*.safetensors"))) == 1
    assert by_run.state.selection is not None
    assert by_run.state.selection.cost is not None
    assert (by_run.state.selection.cost.images, by_run.state.selection.cost.shared_images) == (24, 50)


def test_timm_models_give_features(config: RunConfig, problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their weights are downloaded where there is a network; here random ones stand for them."""
    import timm

    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained=False, **own: create(name, **own))
    values = {"selector": "nearest-neighbour", "selector.features": "timm:resnet10t.c3_in1k", "selected_count": 25}
    trainer = Trainer(config.replace(weighter="uniform", **values), problem=problem)
    assert trainer.mask.count == 25


def _chosen(config: dict[str, Any]) -> dict[str, Any]:
    trainer = Trainer(RunConfig().replace(**config))
    first = trainer.mask.kept.clone()
    for _ in trainer.epochs():
        pass
    return {"first": first, "last": trainer.mask.kept, "weights": trainer.learner.weighter.state_dict()["parameters"]}


@pytest.mark.parametrize(
    ("selector", "options"),
    [
        ("simcore", {}),
        ("neural-data-server", {"selector.experts": 3, "selector.expert_images": 64, "selector.expert_batch": 16}),
    ],
)
def test_workers_train_on_one_choice(selector: str, options: dict[str, Any], tmp_path: Path) -> None:
    """That of a single worker; experts are trained by both."""
    values = {
        "run_dir": str(tmp_path / "run"), "epochs": 1, "max_source": 99, "batch_size": 32, "shots": 2, "queries": 2,
        "device": "cpu", "selector": selector, "selector.features": "pixels", "selected_count": 40, **options,
    }  # fmt: skip
    mine, theirs = on_workers(2, tmp_path / "results", _chosen, RunConfig().replace(**values).flat())
    assert mine["first"].sum() == 40
    alone = {"run_dir": str(tmp_path / "alone"), "cache_dir": str(tmp_path / "own")}
    np.testing.assert_array_equal(Trainer(RunConfig().replace(**{**values, **alone})).mask.kept, mine["first"])
    for name, value in mine.items():
        assert torch.equal(value, theirs[name])


def test_weights_that_cannot_be_downloaded_are_told(
    config: RunConfig, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    import timm

    create = timm.create_model

    def offline(name: str, pretrained: bool = False, **own: Any) -> Any:
        if pretrained:
            raise OSError("no network")
        return create(name, **own)

    monkeypatch.setattr(timm, "create_model", offline)
    values = {"selector": "simcore", "selector.features": "timm:resnet10t.c3_in1k"}
    with pytest.raises(
        InputError, match=r"selector\.features: weights: 'timm:resnet10t.c3_in1k' could not be downloaded"
    ):
        Trainer(config.replace(**values), problem=problem)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"selector": "simcor"}, r"selector: 'simcor' is not known \(did you mean 'simcore'\?\)"),
        ({"selector": "random"}, "selected_share: none cannot work with selector 'random', which needs a size"),
        ({"selector": "random", "selected_count": 51}, "selected_count: 51 is more than the 50 images of the source"),
        (
            {"selector": "random", "selected_share": 0.1},
            r"selected_share: 0\.1 leaves 5 image\(s\) to train on, less than a batch; allowed: at least batch",
        ),
        ({"selector": "simcore"}, r"selector\.features: none cannot work with selector 'simcore'; allowed: pixels"),
        (
            {"selector": "simcore", "selector.features": "nothing.safetensors"},
            r"selector\.features: '.*nothing\.safetensors' is not there; allowed: pixels, an encoder.safetensors",
        ),
        (
            {"selector": "simcore", "selector.features": "timm:resnet9"},
            r"selector\.features: weights: 'timm:resnet9' is not known \(did you mean timm:",
        ),
        ({"selector": "given"}, "weights_file: none cannot work with selector 'given'; allowed: a Parquet or CSV file"),
    ],
)
def test_what_cannot_work_stops_before_any_compute(
    config: RunConfig, problem: Problem, values: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message) as refusal:
        Trainer(config.replace(**values), problem=problem)
    assert "\n" not in str(refusal.value)
