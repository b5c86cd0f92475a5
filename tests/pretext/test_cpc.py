"""Contrastive predictive coding against the paper's equations, and its patches against slices."""

from __future__ import annotations

import math

import pytest
import torch

from bdw.config import RunConfig
from bdw.config.pretext_options.cpc import CPCOptions
from bdw.data import Problem
from bdw.errors import InputError
from bdw.pretext.cpc import CPC
from bdw.training.trainer import Trainer
from bdw.weighting.gradient.estimators import ForwardMode
from tests.pretext.cases import Case, small_encoder
from tests.pretext.models import as_stored

WHOLE = {"least_area": 1.0, "flip": 0.0, "grey": 0.0, "patch_crop": 1.0}
"""Options without any augmentation."""


def _task(side: int = 16, grid: int = 3, **options: float) -> CPC:
    small = {"context_width": 3, "context_blocks": 1, **options}
    model = Case(task=CPC, options=CPCOptions(grid=grid, **small), side=side).model()
    assert isinstance(model.task, CPC)
    return model.task


@pytest.mark.parametrize(("rows_ahead", "distances"), [(1, [1]), (5, [1, 2])])
def test_losses_are_equation_4_for_every_position_and_distance(rows_ahead: int, distances: list[int]) -> None:
    task, generator = _task(rows_ahead=rows_ahead), torch.Generator().manual_seed(0)
    features = torch.randn(4 * 9, 5, dtype=torch.float64, generator=generator)
    assert len(task.predictors) == len(distances)
    views = task.views(torch.zeros(4, 1, 16, 16, dtype=torch.uint8), as_stored, generator)
    with torch.no_grad():
        found = task.losses(task(lambda _: features, views))
        contexts = task.context(features.view(4, 3, 3, 5).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    for i in range(4):
        terms = []
        for distance in distances:
            weight = task.predictors[distance - 1].weight.detach()
            for row in range(3 - distance):
                for column in range(3):
                    scores = features @ (weight @ contexts[i, row, column]) / 10
                    right = 9 * i + 3 * (row + distance) + column
                    terms.append(float(scores.logsumexp(0) - scores[right]))
        assert float(found[i]) == pytest.approx(sum(terms) / len(terms), rel=1e-10)


def test_a_context_sees_its_row_and_those_above_and_nothing_below() -> None:
    net = _task(grid=7, context_blocks=5).context.double()
    maps = torch.rand(1, 5, 7, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    seen = torch.zeros(7, 7, dtype=torch.bool)
    for row in range(7):
        (gradient,) = torch.autograd.grad(net(maps)[:, :, row].sum(), maps)
        seen[row] = gradient.abs().sum(dim=(0, 1, 3)) > 0
    # Five blocks see five rows more.
    assert torch.equal(seen, torch.tensor([[max(0, r - 5) <= s <= r for s in range(7)] for r in range(7)]))


def test_patches_overlap_by_half_and_lie_in_the_middle_of_the_image() -> None:
    task, images = _task(side=18, **WHOLE), Case(task=CPC, side=18).images(2)
    views = task.views(images, as_stored, torch.Generator().manual_seed(0))
    assert (task.patch_size, task.stride) == (8, 4)
    found = views.inputs[0].unflatten(0, (2, 3, 3))
    for row in range(3):
        for column in range(3):
            top, left = 1 + 4 * row, 1 + 4 * column
            expected = as_stored(images)[:, :, top : top + 8, left : left + 8]
            torch.testing.assert_close(found[:, row, column], expected.to(found), rtol=0, atol=1e-6)


def test_a_patch_is_cropped_at_a_place_of_its_own_and_put_in_the_middle_of_grey() -> None:
    task = _task(side=16, **{**WHOLE, "patch_crop": 0.5})
    images = (1 + torch.arange(16 * 16).view(1, 1, 16, 16) % 250).to(torch.uint8)
    (patches,) = task.views(images, as_stored, torch.Generator().manual_seed(0)).inputs
    inner = patches[:, :, 2:6, 2:6].clone()
    patches[:, :, 2:6, 2:6] = 0
    assert not bool(patches.any())
    whole = as_stored(images)[0, 0].to(inner)
    offsets = []
    for number, patch in enumerate(inner[:, 0]):
        row, column = 4 * (number // 3), 4 * (number % 3)
        fits = [
            (y, x)
            for y in range(5)
            for x in range(5)
            if torch.allclose(whole[row + y : row + y + 4, column + x : column + x + 4], patch, atol=1e-5)
        ]
        assert len(fits) == 1
        offsets += fits
    assert len(set(offsets)) > 3


@pytest.mark.parametrize(("encoder", "size", "grid"), [("mlp", 16, 3), ("small_vit", 16, 3), ("small_cnn", 8, 9)])
def test_an_encoder_that_cannot_see_patches_is_refused_before_any_compute(
    config: RunConfig, problem: Problem, encoder: str, size: int, grid: int
) -> None:
    settings = {"pretext": "cpc", "pretext.grid": grid, "encoder": encoder, "crop_size": size, "image_size": size}
    with pytest.raises(InputError) as error:
        Trainer(config.replace(**settings), problem=problem)
    said = f"{error.value}"
    assert said.startswith(f"pretext.grid: {grid} cannot work: encoder ")
    assert f" cannot see patches of {2 * (size // (grid + 1))} x " in said
    assert f"cut at crop_size {size}; allowed: a convolutional encoder" in said


def test_building_it_moves_no_running_statistics() -> None:
    encoder = small_encoder(1, 12, "batch")
    CPC(encoder, CPCOptions(grid=2))
    assert float(encoder.backbone[1].running_mean.abs().max()) == 0
    assert int(encoder.backbone[1].num_batches_tracked) == 0


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("grid", 1, "at least 2"),
        ("patch_crop", 0.0, "above 0, at most 1"),
        ("patch_crop", math.nan, "above 0, at most 1"),
        ("rows_ahead", 0, "at least 1"),
        ("context_width", 0, "at least 1, or none for the features'"),
        ("context_blocks", 0, "at least 1"),
    ],
)
def test_options_that_cannot_work_are_refused(field: str, value: float, allowed: str) -> None:
    with pytest.raises(InputError) as error:
        CPCOptions(**{field: value})
    assert str(error.value) == f"pretext.{field}: {value} cannot work; allowed: {allowed}"


def test_it_trains_with_the_paper_s_estimator(config: RunConfig, problem: Problem) -> None:
    settings = {"pretext": "cpc", "pretext.grid": 2, "meta_loss": "pretext", "crop_size": 12, "epochs": 1}
    trainer = Trainer(config.replace(**settings), problem=problem)
    (report,) = trainer.epochs()
    assert math.isfinite(report.loss)
    assert trainer.learner.alignment is not None
    assert isinstance(trainer.learner.alignment.estimator, ForwardMode)
