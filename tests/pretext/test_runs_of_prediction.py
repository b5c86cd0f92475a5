"""Short runs with the tasks that predict something about an image, real encoders and both meta-losses."""

from __future__ import annotations

import math

import pytest

from bdw.config import RunConfig
from bdw.data import Problem
from bdw.errors import InputError
from bdw.training.trainer import Trainer

SMALL = {
    "counting": {"pretext.count_dim": 8},
    "exemplar": {},
    "jigsaw": {"pretext.permutations": 5, "pretext.hidden_dim": 8, "pretext.tile_dim": 4},
    "relative_location": {},
}


@pytest.mark.parametrize("task", SMALL)
@pytest.mark.parametrize("meta_loss", ["prototype", "pretext"])
def test_it_trains_with_either_meta_loss(config: RunConfig, problem: Problem, task: str, meta_loss: str) -> None:
    settings = {"pretext": task, "encoder": "small_cnn", "meta_loss": meta_loss, "crop_size": 8, "epochs": 1}
    (report,) = Trainer(config.replace(**settings, **SMALL[task]), problem=problem).epochs()
    assert math.isfinite(report.loss)
    assert math.isfinite(report.meta_loss)


@pytest.mark.parametrize("task", ["jigsaw", "relative_location"])
def test_a_run_is_refused_before_any_compute(config: RunConfig, problem: Problem, task: str) -> None:
    with pytest.raises(InputError, match="cannot see patches of"):
        Trainer(config.replace(pretext=task, encoder="mlp", crop_size=8), problem=problem)


@pytest.mark.parametrize("task", SMALL)
def test_the_recommended_shortcuts_run_with_it(config: RunConfig, problem: Problem, task: str) -> None:
    settings = {
        "pretext": task, "encoder": "small_cnn", "crop_size": 8, "meta_loss": "pretext", "direction_parameters": "head",
        "target_statistics": "source", "relative_derivatives": True, "target_margin": 0.06, "weighter": "counts",
        "weighted_loss": False, "direction_momentum": 0.9, "measure": "pretext_loss", "epochs": 2,
    }  # fmt: skip
    reports = list(Trainer(config.replace(**settings, **SMALL[task]), problem=problem).epochs())
    assert all(math.isfinite(report.validation_score) for report in reports)
