"""The context encoder against the paper's equation, written out pixel by pixel, and its head against plain products."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from bdw import encoders, pretext
from bdw.config import RunConfig
from bdw.config.pretext import options_of
from bdw.config.pretext_options.context_encoder import ContextEncoderOptions
from bdw.data import Problem
from bdw.encoders import Encoder
from bdw.errors import InputError
from bdw.parallel import collectives
from bdw.parallel.randomness import Randomness
from bdw.pretext import PretextModel, Views
from bdw.pretext.context_encoder import ContextEncoder
from bdw.training.data_parallel import replicated
from bdw.training.trainer import Trainer
from bdw.weighting.gradient.estimators import ForwardMode, Head
from bdw.weighting.gradient.update_derivative import Clipping
from bdw.weighting.step import Learner, weighted_update
from bdw.weighting.weighters.fixed import FixedWeights
from tests.pretext.cases import mapped_encoder
from tests.pretext.models import not_augmented, views_of
from tests.workers import on_workers


def _model(side: int = 8, **options: float) -> PretextModel:
    torch.manual_seed(0)
    encoder = mapped_encoder(3, side, "group")
    return PretextModel(encoder, ContextEncoder(encoder, ContextEncoderOptions(**options))).double()


def _images(count: int = 5, side: int = 8) -> torch.Tensor:
    shape = (count, 3, side, side)
    return torch.randint(1, 127, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_a_single_mask_is_a_square_of_its_share() -> None:
    masked, crops, masks = views_of(_model(masked=0.25, blocks=1), _images(200)).inputs
    corners = set()
    for i in range(200):
        rows, columns = np.nonzero(masks[i, 0].numpy())
        assert (np.ptp(rows), np.ptp(columns), len(rows)) == (3, 3, 16)
        corners.add((int(rows.min()), int(columns.min())))
    assert corners == {(row, column) for row in range(5) for column in range(5)}, "anywhere in the image"
    hidden = masks.bool().expand_as(crops)
    assert torch.equal(masked[~hidden], crops[~hidden])
    assert bool((masked[hidden] == 0).all())


def test_several_masks_hide_at_most_their_share() -> None:
    _, _, masks = views_of(_model(masked=0.25, blocks=4), _images(200)).inputs
    hidden = masks.flatten(1).sum(dim=1)
    assert float(hidden.max()) == 16
    assert 4 <= float(hidden.min()) < 16, "squares overlap"


def test_losses_are_equation_1_as_a_mean_over_masked_values() -> None:
    model = _model()
    views = views_of(model, _images())
    outputs = model(views)
    found, drawn = model.task.losses(outputs).detach(), outputs.z[0].detach()
    _, crops, masks = views.inputs
    for i in range(5):
        squares = [
            float(drawn[i, c, y, x] - crops[i, c, y, x]) ** 2
            for c in range(3)
            for y in range(8)
            for x in range(8)
            if masks[i, 0, y, x]
        ]
        assert float(found[i]) == pytest.approx(np.mean(squares), rel=1e-12)


def test_the_first_layer_is_fully_connected_within_each_channel() -> None:
    model = _model()
    d, h, w = model.task.shape
    maps = torch.randn(2, d, h, w, dtype=torch.float64)
    found = model.task.within_channels(maps).view(2, d, h, w)
    matrices = model.task.within_channels.weight.view(d, h * w, h * w)
    expected = torch.einsum("dij,ndj->ndi", matrices, maps.flatten(2)) + model.task.within_channels.bias.view(d, -1)
    torch.testing.assert_close(found.flatten(2), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("encoder", "size"), [("small_cnn", 16), ("small_resnet", 20), ("resnet18", 64), ("small_vit", 16)]
)
def test_features_are_the_encoders_and_pixels_have_the_images_size(encoder: str, size: int) -> None:
    torch.manual_seed(0)
    made = encoders.build(encoder, 3, size)
    model = PretextModel(made, ContextEncoder(made)).eval()
    views = views_of(model, _images(2, size))
    views = views._replace(inputs=tuple(part.float() for part in views.inputs))
    outputs = model(views)
    assert outputs.z[0].shape == (2, 3, size, size)
    torch.testing.assert_close(outputs.features, made(views.inputs[0]), rtol=1e-4, atol=1e-5)
    assert outputs.inner[0].shape[:2] == outputs.features.shape


def test_an_up_convolution_repeats_pixels_and_convolves() -> None:
    decoder = _model(side=8).task.decoder
    maps = torch.randn(2, 4, 4, 4, dtype=torch.float64)
    repeated = maps.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    expected = functional.conv2d(repeated, decoder[1].weight, decoder[1].bias, padding=1)
    torch.testing.assert_close(decoder(maps), expected)


def test_the_recommended_shortcuts_run_with_it(config: RunConfig, problem: Problem) -> None:
    settings = {
        "pretext": "context_encoder", "encoder": "small_cnn", "meta_loss": "pretext", "direction_parameters": "head",
        "target_statistics": "source", "relative_derivatives": True, "target_margin": 0.06, "weighter": "counts",
        "weighted_loss": False, "direction_momentum": 0.9, "epochs": 1, "crop_size": 8, "accumulate": 2,
    }  # fmt: skip
    trainer = Trainer(config.replace(**settings), problem=problem)
    (report,) = trainer.epochs()
    assert isinstance(trainer.learner.alignment.estimator, Head)
    assert math.isfinite(report.loss)


class _Headed(nn.Module):
    """A net that does something to the map's mean, as ConvNeXt's head does."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = nn.Conv2d(3, 4, 3, stride=2), nn.LayerNorm(4)

    def feature_map(self, images: torch.Tensor) -> torch.Tensor:
        maps: torch.Tensor = self.layer(images)
        return maps

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.norm(self.feature_map(images).mean(dim=(2, 3)))
        return features


def _trained_in_part(optimiser: type[torch.optim.Optimizer]) -> dict[str, torch.Tensor]:
    """Weights after three steps of four images, which the workers share out."""
    torch.manual_seed(0)
    encoder = Encoder(_Headed(), 3, 4, (3, 8, 8))
    model = PretextModel(encoder, ContextEncoder(encoder)).double()
    wrapped = replicated(model, _images(2))
    trained = optimiser(model.parameters(), lr=0.01)
    clipping = Clipping(1.0)
    learner = Learner(
        model, wrapped, trained, FixedWeights(np.ones(4)), None, Randomness(0), not_augmented, clipping=clipping
    )  # type: ignore[arg-type]
    each = 4 // collectives.size()
    mine = slice(collectives.rank() * each, (collectives.rank() + 1) * each)
    for step in range(3):
        whole = views_of(model, _images(4), seed=step)
        views = Views(whole.images[mine], tuple(part[mine] for part in whole.inputs))
        weighted_update(learner, views, torch.ones(each, dtype=torch.float64), 4)
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("optimiser", [torch.optim.SGD, torch.optim.AdamW])
def test_what_an_encoder_does_with_the_map_is_left_alone_on_several_workers(
    optimiser: type[torch.optim.Optimizer], tmp_path: Path
) -> None:
    expected = _trained_in_part(optimiser)
    assert torch.equal(expected["encoder.backbone.norm.weight"], torch.ones(4, dtype=torch.float64))
    for found in on_workers(2, tmp_path / "results", _trained_in_part, optimiser):
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-12)


def test_several_tasks_at_once_have_the_heads_exact_gradient() -> None:
    """Two take maps, two features, one of them four views."""
    options = options_of("multitask")(tasks=("context_encoder", "denoising", "rotation", "colourisation"))
    torch.manual_seed(0)
    encoder = mapped_encoder(3, 8, "group")
    model = PretextModel(encoder, pretext.build("multitask", encoder, options)).double()
    views, weights = views_of(model, _images()), torch.linspace(0.2, 1.5, 5, dtype=torch.float64)
    head, whole = Head(model), ForwardMode(model, head_alone=True)
    direction = {name: torch.randn_like(value) for name, value in head.compared.items()}
    with head.watch(views, weights, 5) as of_head, whole.watch(views, weights, 5) as of_whole:
        outputs = model(views)
    torch.testing.assert_close(of_head(direction, outputs), of_whole(direction, None), rtol=1e-10, atol=1e-12)


def test_an_encoder_without_a_map_is_refused() -> None:
    with pytest.raises(InputError, match=r"^encoder: Sequential has no map of positions; allowed: "):
        ContextEncoder(encoders.build("mlp", 3, 8))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"masked": 0.0}, "pretext.masked: 0.0 cannot work; allowed: above 0, below 1"),
        ({"blocks": 0}, "pretext.blocks: 0 cannot work; allowed: at least 1"),
        (
            {"masked": 0.01, "blocks": 9},
            "pretext.masked: 0.01 cannot work: 9 square(s) of 0 x 0 pixels in images of crop_size 8; allowed: squares "
            "from 1 to 7 pixels",
        ),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, float], said: str) -> None:
    with pytest.raises(InputError) as error:
        _model(**options)
    assert str(error.value) == said
