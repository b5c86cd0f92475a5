"""The masked auto-encoder against a slow version that puts every patch where it belongs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from bdw import encoders
from bdw.config import RunConfig
from bdw.config.pretext_options.mae import MaskedAutoEncoderOptions
from bdw.data import Problem
from bdw.errors import InputError
from bdw.pretext import PretextModel
from bdw.pretext.mae import MaskedAutoEncoder, patches_of
from bdw.training.trainer import Trainer
from bdw.weighting.gradient.estimators import ForwardMode, Head
from tests.pretext.cases import patch_encoder, small_encoder
from tests.pretext.models import views_of

SMALL = {"decoder_depth": 1, "decoder_width": 8, "decoder_heads": 2}


def _model(side: int = 8, **options: float) -> PretextModel:
    torch.manual_seed(0)
    encoder = patch_encoder(3, side, "group")
    return PretextModel(encoder, MaskedAutoEncoder(encoder, MaskedAutoEncoderOptions(**{**SMALL, **options}))).double()


def _images(count: int = 3, side: int = 8) -> Tensor:
    return torch.randint(256, (count, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_patches_are_cut_row_by_row() -> None:
    images = torch.arange(2 * 3 * 6 * 6.0).view(2, 3, 6, 6)
    found = patches_of(images, 2)
    assert found.shape == (2, 9, 12)
    assert torch.equal(found[1, 5], images[1, :, 2:4, 4:6].flatten())


@pytest.mark.parametrize("normalised", [True, False])
def test_losses_are_squared_errors_of_the_patches_not_seen(normalised: bool) -> None:
    model = _model(normalised_pixels=normalised)
    views = views_of(model, _images())
    outputs = model(views)
    found, drawn = model.task.losses(outputs).detach(), outputs.z[0].detach().numpy()
    images, order = (part.numpy() for part in views.inputs)
    assert drawn.shape == (3, 12, 12)
    for image in range(3):
        squares = []
        for number, patch in enumerate(order[image][4:]):
            row, column = 2 * (patch // 4), 2 * (patch % 4)
            pixels = images[image, :, row : row + 2, column : column + 2].reshape(-1)
            if normalised:
                pixels = (pixels - pixels.mean()) / math.sqrt(pixels.var(ddof=1) + 1e-6)
            squares.append((drawn[image, number] - pixels) ** 2)
        assert float(found[image]) == pytest.approx(np.mean(squares), rel=1e-12)


def test_the_decoder_sees_tokens_in_their_places() -> None:
    """As the paper draws it: mask tokens everywhere, those of seen patches put over them, places added to all."""
    model = _model()
    views, task = views_of(model, _images()), model.task
    images, order = views.inputs
    seen = task.embed(model.encoder.tokens(images, order[:, :4]))
    for image in range(3):
        grid = task.mask_token.repeat(16, 1)
        for number, patch in enumerate(order[image, :4]):
            grid[patch] = seen[image, model.encoder.prefix_tokens + number]
        rows = torch.cat([seen[image, : model.encoder.prefix_tokens], grid + task.places])
        decoded = task.to_pixels(task.norm(task.blocks(rows[None])))[0, model.encoder.prefix_tokens :]
        expected = decoded[order[image, 4:]]
        torch.testing.assert_close(model(views).z[0][image], expected, rtol=1e-10, atol=1e-12)


def test_places_are_sines_and_cosines_of_rows_and_columns() -> None:
    places = _model().task.places
    frequencies = [1.0, 10000.0**-0.5]
    for patch in range(16):
        row, column = divmod(patch, 4)
        expected = [f(each * w) for each in (row, column) for f in (math.sin, math.cos) for w in frequencies]
        assert sorted(places[patch].tolist()) == pytest.approx(sorted(expected), abs=1e-6)


def test_every_image_has_its_own_quarter_and_the_rest_reaches_nothing() -> None:
    model = _model()
    views = views_of(model, _images(40))
    images, order = views.inputs
    assert torch.equal(order.sort(dim=1).values, torch.arange(16).expand(40, 16))
    assert len({tuple(sorted(row[:4])) for row in order.tolist()}) > 30
    changed = images.clone()
    for image in range(40):
        for patch in order[image, 4:].tolist():
            row, column = 2 * (patch // 4), 2 * (patch % 4)
            changed[image, :, row : row + 2, column : column + 2] = 0.3
    other = views._replace(inputs=(changed, order))
    torch.testing.assert_close(model(other).z[0], model(views).z[0], rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(model(other).features, model(views).features, rtol=1e-12, atol=1e-14)


def test_defaults_are_the_papers_decoder() -> None:
    with torch.device("meta"):
        encoder = encoders.build("small_vit", 3, 32)
        task = MaskedAutoEncoder(encoder)
    assert (len(task.blocks), task.embed.out_features, task.blocks[0].attn.num_heads) == (8, 512, 16)
    assert (task.num_seen, len(task.places), task.patch_side) == (16, 64, 4)


@pytest.mark.parametrize("meta_loss", ["prototype", "pretext"])
def test_it_trains_with_either_meta_loss(config: RunConfig, problem: Problem, meta_loss: str) -> None:
    settings = {"pretext": "mae", "encoder": "small_vit", "meta_loss": meta_loss, "crop_size": 8, "epochs": 1}
    if meta_loss == "pretext":
        settings |= {"direction_parameters": "head", "accumulate": 2}
    options = {"pretext.normalised_pixels": False, **{f"pretext.{name}": value for name, value in SMALL.items()}}
    run = config.replace(**settings).replace(**options)
    trainer = Trainer(run, problem=problem)
    (report,) = trainer.epochs()
    assert math.isfinite(report.loss)
    assert isinstance(trainer.learner.alignment.estimator, Head if meta_loss == "pretext" else ForwardMode)


def test_a_convolutional_encoder_is_refused() -> None:
    with pytest.raises(InputError) as error:
        MaskedAutoEncoder(small_encoder(3, 6, "group"))
    assert str(error.value) == (
        "encoder: Sequential does not cut images into patches; allowed: small_vit, or a timm:vit_..."
    )


def test_patches_of_one_value_cannot_be_normalised() -> None:
    encoder = patch_encoder(1, 4, "group")
    with pytest.raises(InputError, match=r"^pretext.normalised_pixels: True cannot work with .*; allowed: False$"):
        MaskedAutoEncoder(encoder, MaskedAutoEncoderOptions(**SMALL))
    MaskedAutoEncoder(encoder, MaskedAutoEncoderOptions(**SMALL, normalised_pixels=False))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"masked": 1.0}, "pretext.masked: 1.0 cannot work; allowed: above 0, below 1"),
        (
            {"masked": 0.99},
            "pretext.masked: 0.99 cannot work: the encoder sees 0 of 16 patches; allowed: 1 to 15 patches",
        ),
        ({"decoder_depth": 0}, "pretext.decoder_depth: 0 cannot work; allowed: at least 1"),
        ({"decoder_width": 6}, "pretext.decoder_width: 6 cannot work; allowed: a multiple of 4"),
        ({"decoder_heads": 3}, "pretext.decoder_heads: 3 cannot work; allowed: a divisor of decoder_width 8"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, float], said: str) -> None:
    with pytest.raises(InputError) as error:
        _model(**options)
    assert str(error.value) == said
