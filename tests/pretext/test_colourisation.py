"""Colourisation against the paper's equations, written out position by position."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bdw.config import RunConfig
from bdw.config.pretext_options.colourisation import ColourisationOptions
from bdw.data import Problem, pack_arrays
from bdw.errors import InputError
from bdw.pretext import PretextModel, ab_classes
from bdw.pretext.colourisation import Colourisation
from bdw.pretext.views.lab import rgb_to_lab
from bdw.training.trainer import Trainer
from bdw.weighting.gradient.estimators import ForwardMode, TrainingPass
from tests.pretext.cases import mapped_encoder
from tests.pretext.models import views_of


def _model(side: int = 24) -> PretextModel:
    torch.manual_seed(0)
    encoder = mapped_encoder(3, side, "group")
    return PretextModel(encoder, Colourisation(encoder)).double()


def _images(count: int = 3, side: int = 24) -> torch.Tensor:
    return torch.randint(256, (count, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_the_encoder_sees_lightness_alone() -> None:
    grey, _, _ = views_of(_model(), _images()).inputs
    torch.testing.assert_close(grey, grey[:, :1].expand_as(grey), rtol=0, atol=1e-13)
    seen, stored = rgb_to_lab(grey / 2 + 0.5), rgb_to_lab(_images().double() / 255)
    torch.testing.assert_close(seen[:, 0], stored[:, 0], rtol=1e-10, atol=1e-10)
    assert float(seen[:, 1:].abs().max()) < 1e-10


def test_losses_are_equation_2_with_the_weights_of_the_nearest_class() -> None:
    model = _model()
    model.task.class_weights.copy_(torch.linspace(0.5, 2, 261, dtype=torch.float64))
    outputs = model(views_of(model, _images()))
    found, logits = model.task.losses(outputs).detach(), outputs.z[0].detach()
    assert logits.shape == (3, 261, 36)
    ab = rgb_to_lab(_images().double() / 255)[:, 1:]
    centres = ab_classes.centres()
    for image in range(3):
        losses = []
        for place in range(36):
            row, column = 4 * (place // 6), 4 * (place % 6)
            colour = ab[image, :, row : row + 4, column : column + 4].mean(dim=(1, 2)).tolist()
            order = sorted(range(261), key=lambda q, c=colour: math.dist(c, centres[q].tolist()))[:5]
            shares = [math.exp(-(math.dist(colour, centres[q].tolist()) ** 2) / 50) for q in order]
            total = sum(math.exp(value) for value in logits[image, :, place].tolist())
            entropy = -sum(
                share / sum(shares) * (float(logits[image, q, place]) - math.log(total))
                for q, share in zip(order, shares, strict=True)
            )
            losses.append((0.5 + 1.5 * order[0] / 260) * entropy)
        assert float(found[image]) == pytest.approx(sum(losses) / 36, rel=1e-9)


def test_colours_are_counted_once_in_all_kept_images() -> None:
    model, images = _model(), _images(7)
    batches = [(torch.arange(4), images[:4]), (torch.arange(4, 7), images[4:])]
    model.task.begin_epoch(model.encoder, batches)
    ab = rgb_to_lab(images.float() / 255)[:, 1:]
    counts = torch.bincount(ab_classes.nearest(ab).flatten(), minlength=261)
    shares = ab_classes.smoothed(counts)
    weights = ab_classes.rebalancing(shares, 0.5)
    torch.testing.assert_close(model.task.class_weights, weights, rtol=1e-12, atol=1e-12)
    bias = model.task.decoder[-1].bias.detach()
    common = shares * weights > 0.01 / 261
    torch.testing.assert_close(bias[common].exp(), (shares * weights)[common], rtol=1e-12, atol=1e-12)
    assert float(bias.exp().sum()) == pytest.approx(1, abs=0.01)
    before = model.task.class_weights.clone()
    model.task.begin_epoch(model.encoder, [(torch.arange(1), images[:1])])
    assert torch.equal(model.task.class_weights, before)


def test_weights_are_part_of_the_state() -> None:
    model, other = _model(), _model()
    model.task.begin_epoch(model.encoder, [(torch.arange(3), _images())])
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.task.class_weights, model.task.class_weights)
    assert bool(other.task.is_counted)


def _coloured(problem: Problem, folder: Path) -> Problem:
    """The same with images in colour."""

    def tinted(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.concatenate([images, images // 2, 255 - images], axis=1)

    target = problem.target
    parts = {
        name: dataclasses.replace(getattr(target, name), images=tinted(getattr(target, name).images))
        for name in ("train", "validation", "test")
    }
    source = pack_arrays(folder / "colours", tinted(np.asarray(problem.source.images)))
    return Problem(source, {"target": dataclasses.replace(target, **parts)})


@pytest.mark.parametrize("task", ["colourisation", "split_brain"])
@pytest.mark.parametrize("recipe", ["paper", "shortcuts"])
def test_a_run_on_colour_images_learns_weights(
    config: RunConfig, problem: Problem, tmp_path: Path, task: str, recipe: str
) -> None:
    settings: dict[str, object] = {"pretext": task, "encoder": "small_cnn", "epochs": 2}
    if recipe == "shortcuts":
        settings |= {
            "meta_loss": "pretext", "direction_parameters": "head", "target_statistics": "source", "weighter": "counts",
            "relative_derivatives": True, "target_margin": 0.06, "weighted_loss": False, "direction_momentum": 0.9,
        }  # fmt: skip
    trainer = Trainer(config.replace(**settings), problem=_coloured(problem, tmp_path))
    reports = list(trainer.epochs())
    assert isinstance(trainer.learner.alignment.estimator, ForwardMode if recipe == "paper" else TrainingPass)
    assert all(math.isfinite(report.loss) for report in reports)
    if task == "colourisation":
        weights = trainer.learner.model.task.class_weights
        assert float(weights.max()) > float(weights.min()), "colours of the source were counted"


def test_a_run_on_grey_images_is_refused_before_any_compute(config: RunConfig, problem: Problem) -> None:
    assert problem.source.channels == 1
    settings = {"pretext": "colourisation", "encoder": "small_cnn", "crop_size": 8}
    with pytest.raises(InputError, match=r"^pretext: 'colourisation' cannot work with images of 1 channel\(s\), "):
        Trainer(config.replace(**settings), problem=problem)


@pytest.mark.parametrize("uniform", [0.0, 1.5, float("nan")])
def test_options_that_cannot_work_are_refused(uniform: float) -> None:
    with pytest.raises(InputError, match=r"^pretext.uniform: .* cannot work; allowed: above 0, at most 1$"):
        ColourisationOptions(uniform=uniform)
