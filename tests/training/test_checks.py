"""What cannot work is refused in one line before any compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bdw import pretext
from bdw.config import RunConfig
from bdw.data import Problem
from bdw.errors import InputError
from bdw.pretext.rotation import Rotation
from bdw.training.checks import check
from bdw.training.trainer import Trainer


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 51}, "batch_size: 51 is larger than the source of 50 images"),
        ({"ways": 4}, r"ways \(K\): 4 classes needed but the target has 3"),
        ({"shots": 7}, r"class 'a' has 8"),
        ({"encoder": "resnet9"}, "encoder: 'resnet9' is not known"),
        ({"pretext": "no_such_task"}, "pretext: 'no_such_task' is not known"),
        ({"weighter": "alpha"}, "weighter: 'alpha' is not known"),
        ({"cdf_threshold": 0.6}, r"cdf_threshold \(lambda\): 0.6 is above density_threshold \(rho\) 0.5"),
        ({"meta_loss": "proto"}, "meta_loss: 'proto' is not known"),
        ({"encoder": "timm:resnet9"}, r"encoder: 'timm:resnet9' is not known \(did you mean timm:"),
        ({"norm": "group", "encoder": "mlp"}, "norm: 'group' cannot work with encoder 'mlp', which has no batch norm"),
        (
            {"accumulate": 9},
            r"accumulate: 9 cannot work: a step may leave 8 image\(s\) to a worker; allowed: at most 8",
        ),
        (
            {"accumulate": 2, "pretext": "simclr"},
            "accumulate: 2 cannot work with pretext 'simclr', whose",
        ),
        (
            {"optimiser": "adamw", "meta_loss": "pretext", "direction_parameters": "head", "natural_direction": True},
            "natural_direction: cannot work with optimiser 'adamw'",
        ),
    ],
)
def test_what_cannot_work_stops_before_any_compute(
    config: RunConfig, problem: Problem, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Trainer(config.replace(**changes), problem=problem)
    assert not Path(config.output.run_dir).exists(), "a run that never began must leave nothing behind"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"optimiser": "adam"}, "optimiser: 'adam' is not known .*allowed: adamw, sgd"),
        ({"clip_norm": 0.0}, "clip_norm: 0.0 cannot work; allowed: a positive number, or none"),
        ({"accumulate": 65}, "accumulate: 65 cannot work; allowed: 1 to batch_size"),
        ({"second_moment": 1.0}, "second_moment: 1.0 cannot work; allowed: 0 <= value < 1"),
        ({"norm": "layer"}, "norm: 'layer' is not known"),
        ({"weights": ""}, "weights: '' cannot work; allowed: a file, run:DIR"),
    ],
)
def test_settings_of_encoder_and_optimiser_are_checked_as_they_are_made(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        RunConfig().replace(**fields)


def test_a_learning_rate_of_sgd_is_told_to_adamw(config: RunConfig, caplog: pytest.LogCaptureFixture) -> None:
    check(config.replace(optimiser="adamw", learning_rate=1e-3))
    assert caplog.messages == []
    check(config.replace(optimiser="adamw"))
    assert caplog.messages == ["learning_rate: 0.1 is a rate for sgd; with adamw 0.0001 to 0.001 is usual"]


def test_batches_that_do_not_fit_are_refused_before_anything_is_packed(tmp_path: Path) -> None:
    config = RunConfig().replace(**{"run_dir": str(tmp_path / "run"), "max_source": 40, "batch_size": 64})
    with pytest.raises(InputError, match="batch_size: 64 is larger than the source of 40 images"):
        Trainer(config)
    assert not (tmp_path / "run").exists()


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


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"batch_size": 1}, "batch_size: 1"),
        ({"batch_size": 2}, "batch_size: 2"),  # 50 images may become 49.
        ({"batch_size": 1, "prune": False, "encoder": "resnet18"}, "batch_size: 1"),
        ({"target_batch": 1}, "target_batch: 1"),
        ({"min_kept": 1}, "min_kept: 1"),
    ],
)
def test_a_batch_of_one_in_front_of_batch_norm_is_refused(
    config: RunConfig, problem: Problem, changes: dict[str, Any], field: str
) -> None:
    settings = {"pretext": "vae", "meta_loss": "pretext", "crop_size": 8, **changes}
    with pytest.raises(InputError, match=f"{field} cannot work: .* at 8 x 8 pixels needs two; allowed: at least [23]$"):
        Trainer(config.replace(**settings), problem=problem)


SUITABLE: dict[str, dict[str, Any]] = {
    "counting": {"encoder": "small_cnn"},
    "cpc": {"encoder": "small_cnn", "pretext.grid": 2, "pretext.patch_crop": 1.0},
    "swav": {"encoder": "small_cnn"},
}
"""Task -> settings with which it can see images of 12 x 12 pixels, where the others' do not serve."""


@pytest.mark.parametrize("task", [name for name in pretext.available() if pretext.task_class(name).instances_interact])
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch_size": 2}, "batch_size: 2 cannot work: .*; allowed: at least 3$"),  # 50 images may become 49.
        ({"batch_size": 1, "prune": False}, "batch_size: 1 cannot work: .*; allowed: at least 2$"),
        ({"min_kept": 1}, "min_kept: 1 cannot work: .*; allowed: at least 2$"),
        ({"target_batch": 1, "meta_loss": "pretext"}, "target_batch: 1 cannot work: .*; allowed: at least 2$"),
    ],
)
def test_a_step_of_one_image_is_refused_where_instances_interact(
    config: RunConfig, problem: Problem, task: str, changes: dict[str, Any], said: str
) -> None:
    settings = {"pretext": task, "encoder": "mlp", **SUITABLE.get(task, {}), **changes}
    with pytest.raises(InputError, match=f"^{said}"):
        Trainer(config.replace(**settings), problem=problem)
    assert not Path(config.output.run_dir).exists()


def test_images_that_a_task_refuses_stop_the_run_before_any_compute(
    config: RunConfig, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(self: Rotation, images: pretext.Images) -> None:
        raise InputError(f"pretext: refuses {tuple(images)}; allowed: others")

    monkeypatch.setattr(Rotation, "check", check)
    with pytest.raises(InputError, match=r"refuses \(1, 12, 12\)"):
        Trainer(config, problem=problem)
    assert not Path(config.output.run_dir).exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_size": 1, "pretext": "rotation"},
        {"batch_size": 1, "encoder": "mlp"},
        {"batch_size": 1, "crop_size": 12},
        {"batch_size": 2, "prune": False},
        {"batch_size": 3},
        {"min_kept": 1, "prune": False},
        {"min_kept": 1, "pretext": "rotation"},
        {"batch_size": 3, "target_batch": 1, "target_statistics": "source"},
    ],
)
def test_other_small_batches_train(config: RunConfig, problem: Problem, changes: dict[str, Any]) -> None:
    settings = {"pretext": "vae", "meta_loss": "pretext", "crop_size": 8, "encoder": "small_cnn", "epochs": 1}
    Trainer(config.replace(**{**settings, **changes}), problem=problem)


def test_a_run_pruned_to_its_floor_of_two_images_trains(config: RunConfig, problem: Problem) -> None:
    settings = {"pretext": "vae", "meta_loss": "pretext", "crop_size": 8, "encoder": "small_cnn", "weighter": "counts"}
    rule = {"cdf_threshold": 0.9, "density_threshold": 0.9, "min_kept": 2, "batch_size": 16}
    trainer = Trainer(config.replace(**settings, **rule), problem=problem)
    assert [report.kept for report in trainer.epochs()][-1] == 2
