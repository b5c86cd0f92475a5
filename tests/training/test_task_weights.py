"""Runs in which every task of an image has a weight, or every task one for all images."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from bdw.config import RunConfig
from bdw.data import Problem
from bdw.errors import InputError
from bdw.training.checks import check
from bdw.training.task_weights import tasks_with_weights
from bdw.training.trainer import Trainer
from bdw.weighting.gradient.estimators import ForwardMode
from tests.training.comparison import assert_equal, assert_same_end, parameters_of, run_in_pieces, run_to_end

TASKS = ("rotation", "simclr")


def _of_tasks(config: RunConfig, **settings: Any) -> RunConfig:
    """Two tasks, and a rule that prunes some pairs of image and task after the first epoch."""
    return config.replace(**{
        "pretext": "multitask", "pretext.tasks": list(TASKS), "weights_per": "image_and_task",
        "cdf_threshold": 0.4, "density_threshold": 0.41, "meta_loss": "pretext", "epochs": 4, **settings,
    })  # fmt: skip


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"direction_parameters": "head", "weighted_loss": False},
        {"weighter": "counts", "relative_derivatives": True, "centred_derivatives": True, "shared_derivatives": True,
         "cdf_threshold": 0.5, "density_threshold": 0.6},
        {"weighter": "counts", "target_margin": 0.5, "direction_parameters": "head", "direction_every": 2,
         "target_statistics": "source", "cdf_threshold": 0.5, "density_threshold": 0.6},
        {"weighter": "point", "normalise_weights": True, "cdf_threshold": 0.05},
        {"weights_per": "task", "weighter": "point", "weight_lr": 1e-3, "cdf_threshold": 0.99},
        {"pretext.tasks": ["rotation", "barlow_twins"], "pretext.barlow_twins.projection_dim": 8,
         "pretext.barlow_twins.hidden_dim": 8},
    ],
    ids=["beta", "head", "counts", "verdicts", "point", "task", "no mean"],
)  # fmt: skip
def test_a_run_stopped_after_every_other_step_ends_bit_for_bit_where_an_undisturbed_one_does(
    config: RunConfig, problem: Problem, settings: dict[str, Any]
) -> None:
    settings = _of_tasks(config, **settings)
    whole = run_to_end(settings, problem)
    assert isinstance(whole.learner.alignment.estimator, ForwardMode)
    parts = settings.replace(run_dir=config.output.run_dir + "-parts", resume=True)
    trainer, _ = run_in_pieces(parts, problem)
    assert_same_end(trainer, whole)
    pairs = whole.mask.kept_by_task
    assert not pairs.all(), "nothing was pruned, so pruning was not tested"
    assert torch.equal(pairs.any(dim=1), whole.mask.kept)
    if settings.weighter.weights_per == "task":
        assert (pairs == pairs[0]).all()
    run, other = (Path(each.output.run_dir) for each in (settings, parts))
    assert (run / "task_weights.parquet").read_bytes() == (other / "task_weights.parquet").read_bytes()


def test_what_is_left_behind_tells_images_and_tasks(config: RunConfig, problem: Problem) -> None:
    trainer = run_to_end(_of_tasks(config), problem)
    run, n = Path(config.output.run_dir), len(problem.source)
    tasks, images = (pq.read_table(run / f"{name}_weights.parquet").to_pandas() for name in ("task", "instance"))
    assert tasks["index"].tolist() == [index for index in range(n) for _ in TASKS]
    assert tasks["task"].tolist() == list(TASKS) * n
    assert tasks["name"].tolist() == np.repeat(images["name"], len(TASKS)).tolist()
    for column, table in enumerate(trainer.learner.weighter.column_tables()):
        own = tasks[tasks["task"] == TASKS[column]]
        for quantity in ("a", "b", "mean", "variance"):
            np.testing.assert_array_equal(own[quantity], getattr(table, quantity))
        np.testing.assert_array_equal(own["kept"], trainer.mask.kept_by_task[:, column].numpy())
    by_image = tasks.groupby("index")
    np.testing.assert_array_equal(images["kept"], by_image["kept"].any())
    np.testing.assert_allclose(images["mean"], by_image["mean"].mean())
    assert images["a"].isna().all()
    pruned = images[~images["kept"]]["index"]
    np.testing.assert_array_equal(
        images["pruned_at_epoch"][pruned], by_image["pruned_at_epoch"].max()[pruned], "with its last task"
    )
    assert {(True, False), (False, True)} & set(map(tuple, trainer.mask.kept_by_task.tolist())), "kept for one task"


def test_a_run_in_which_a_task_is_left_out_trains_on(config: RunConfig, problem: Problem) -> None:
    settings = _of_tasks(config, prune=False)
    trainer = Trainer(settings, problem=problem)
    trainer.mask.kept_by_task[:, 0] = False
    before = parameters_of(trainer)["task.parts.rotation.head.bias"].clone()
    reports = list(trainer.epochs())
    assert all(math.isfinite(report.loss) and math.isfinite(report.meta_loss) for report in reports)
    assert all(math.isnan(report.pretext_accuracy) for report in reports), "SimCLR knows no right and wrong"
    assert torch.isfinite(before).all()
    rotation = trainer.learner.weighter.column_tables()[0]
    np.testing.assert_array_equal(rotation.mean, 0.5)


def test_fixed_weights_leave_it_aside(config: RunConfig, problem: Problem) -> None:
    fixed = _of_tasks(config, weighter="uniform", epochs=1)
    assert tasks_with_weights(fixed) == ()
    check(fixed)
    one, other = (
        run_to_end(fixed.replace(weights_per=per, run_dir=f"{config.output.run_dir}-{per}"), problem)
        for per in ("image", "image_and_task")
    )
    assert_equal(parameters_of(one), parameters_of(other))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"pretext": "rotation", "pretext.tasks": None},
            "weights_per: 'image_and_task' cannot work with pretext 'rotation' of one task; allowed: 'image', or ",
        ),
        ({"pretext.tasks": ["rotation"]}, "weights_per: 'image_and_task' cannot work with pretext 'multitask' of one"),
        ({"weighter": "l2rw"}, "weights_per: 'image_and_task' cannot work with weighter 'l2rw', whose weights are "),
        ({"diagnose_signal": True}, "diagnose_signal: True cannot work with weights_per 'image_and_task': it is"),
        ({"record_trajectory": True}, "record_trajectory: True cannot work with weights_per 'image_and_task': a repl"),
        (
            {"pretext.tasks": ["rotation", "vae"], "accumulate": 2},
            "accumulate: 2 cannot work with weights_per 'image_and_task', as the images of a step have different ",
        ),
        (
            {"natural_direction": True, "direction_parameters": "head"},
            "natural_direction: True cannot work with weights_per 'image_and_task', as the heads are several",
        ),
    ],
)
def test_what_cannot_work_is_refused(config: RunConfig, settings: dict[str, Any], said: str) -> None:
    given = {name: value for name, value in settings.items() if value is not None}
    base = _of_tasks(config) if settings.get("pretext") is None else config.replace(weights_per="image_and_task")
    with pytest.raises(InputError) as error:
        check(base.replace(**given))
    assert str(error.value).startswith(said)
    assert "; allowed: " in str(error.value)
