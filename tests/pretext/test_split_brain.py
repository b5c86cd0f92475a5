"""The split-brain auto-encoder against its two cross-entropies, written out position by position."""

from __future__ import annotations

import math

import pytest
import torch

from bdw.config.pretext_options.split_brain import SplitBrainOptions
from bdw.errors import InputError
from bdw.pretext import Images, PretextModel, ab_classes
from bdw.pretext.split_brain import SplitBrain
from bdw.pretext.views.lab import rgb_to_lab
from tests.pretext.cases import mapped_encoder
from tests.pretext.models import views_of


def _model(side: int = 24, **options: int) -> PretextModel:
    torch.manual_seed(0)
    encoder = mapped_encoder(3, side, "group")
    return PretextModel(encoder, SplitBrain(encoder, SplitBrainOptions(**options))).double()


def _images(count: int = 3, side: int = 24) -> torch.Tensor:
    """Of weak colours, which sRGB has at every lightness in the middle."""
    grey = torch.randint(90, 150, (count, 1, side, side), generator=torch.Generator().manual_seed(0))
    tint = torch.randint(-12, 12, (count, 3, side, side), generator=torch.Generator().manual_seed(1))
    return (grey + tint).to(torch.uint8)


def test_one_view_has_the_lightness_and_the_other_the_colours() -> None:
    shown = views_of(_model(), _images()).inputs[0].unflatten(0, (3, 2))
    stored = rgb_to_lab(_images().double() / 255)
    grey, coloured = (rgb_to_lab(shown[:, view] / 2 + 0.5) for view in range(2))
    torch.testing.assert_close(grey[:, 0], stored[:, 0], rtol=0, atol=1e-10)
    assert float(grey[:, 1:].abs().max()) < 1e-10
    torch.testing.assert_close(coloured[:, 1:], stored[:, 1:], rtol=0, atol=1e-10)
    torch.testing.assert_close(coloured[:, 0], torch.full_like(coloured[:, 0], 50.0), rtol=0, atol=1e-10)


def test_losses_are_the_mean_of_two_cross_entropies() -> None:
    model = _model(lightness_classes=50)
    outputs = model(views_of(model, _images()))
    found = model.task.losses(outputs).detach()
    colours, lightness = (part.detach() for part in outputs.z)
    assert colours.shape == (3, 261, 36)
    assert lightness.shape == (3, 50, 36)
    lab = rgb_to_lab(_images().double() / 255)
    for image in range(3):
        losses = []
        for place in range(36):
            row, column = 4 * (place // 6), 4 * (place % 6)
            mean = lab[image, :, row : row + 4, column : column + 4].mean(dim=(1, 2)).tolist()
            distances = [math.dist(mean[1:], centre.tolist()) for centre in ab_classes.centres()]
            for logits, right in ((colours, distances.index(min(distances))), (lightness, int(mean[0] / 2))):
                values = logits[image, :, place].tolist()
                losses.append(math.log(sum(map(math.exp, values))) - values[right])
        assert float(found[image]) == pytest.approx(sum(losses) / 72, rel=1e-9)


def test_each_half_of_the_channels_predicts_from_its_own_view() -> None:
    model = _model()
    views = views_of(model, _images())
    maps = model.encoder.feature_map(views.inputs[0]).detach().requires_grad_()

    class Known:
        def feature_map(self, images: torch.Tensor) -> torch.Tensor:
            return maps

    outputs = model.task(Known(), views)
    for part, (row, channels) in zip(outputs.z, ((0, slice(0, 2)), (1, slice(2, 4))), strict=True):
        (gradient,) = torch.autograd.grad(part.square().sum(), maps)
        reached = gradient.unflatten(0, (3, 2)).abs().sum(dim=(0, 3, 4)) > 0
        expected = torch.zeros(2, 4, dtype=torch.bool)
        expected[row, channels] = True
        assert torch.equal(reached, expected)


def test_white_and_black_have_the_outermost_classes() -> None:
    images = torch.zeros(2, 3, 24, 24, dtype=torch.uint8)
    images[1] = 255
    levels = views_of(_model(), images).inputs[2]
    assert levels.unique(dim=1).tolist() == [[0], [99]]


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(InputError, match=r"^pretext: 'split_brain' cannot work with images of 1 channel\(s\), "):
        _model().task.check(Images(1, 24, 24))
    with pytest.raises(InputError, match=r"^pretext.lightness_classes: 1 cannot work; allowed: at least 2$"):
        SplitBrainOptions(lightness_classes=1)
