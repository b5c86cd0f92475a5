"""Large and small crops of an image."""

from __future__ import annotations

import pytest
import torch

from bdw import encoders, pretext
from bdw.config.pretext_options.multi_crop import MultiCropOptions
from bdw.errors import InputError
from bdw.pretext import PretextModel
from bdw.pretext.multi_crop import MultiCrop, encoded
from bdw.pretext.swav import SwAV
from bdw.weighting.gradient.estimators import ForwardMode
from tests.pretext.cases import CASES, small_encoder
from tests.pretext.models import views_of


def _task(side: int = 14, **options: object) -> MultiCrop:
    return SwAV(small_encoder(3, side, "group"), SwAV.Options(prototypes=5, hidden_dim=4, **options))


def test_an_instances_crops_are_consecutive_rows_of_their_own_image() -> None:
    task = _task(local_crops=4, jitter=0.0, grey=0.0, blur=0.0)
    images = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 3, 20, 20) * 50
    views = task.views(images, lambda stored: stored[:, :, :14, :14] / 127.5 - 1, torch.Generator().manual_seed(0))
    large, small = views.inputs
    assert large.shape == (10, 3, 14, 14)
    assert small.shape == (20, 3, 6, 6)
    expected = torch.arange(5) * 50 / 127.5 - 1
    for rows, copies in ((large, 2), (small, 4)):
        wanted = expected.repeat_interleave(copies)[:, None, None, None].expand_as(rows)
        torch.testing.assert_close(rows, wanted, rtol=0, atol=1e-5)


def test_small_crops_hold_the_share_of_the_image_that_was_asked_for() -> None:
    """A ramp from left to right: what a crop spans of it, and of one from top to bottom, is its share."""
    options = {"flip": 0.0, "jitter": 0.0, "grey": 0.0, "blur": 0.0, "local_crops": 50, "least_area": 0.5}
    task = _task(28, local_size=14, local_least_area=0.09, local_largest_area=0.16, **options)
    ramp = torch.linspace(0, 255, 100).round().to(torch.uint8)
    image = torch.stack([ramp.expand(100, 100), ramp[:, None].expand(100, 100), ramp.expand(100, 100)])
    large, small = task.views(image[None], lambda stored: stored / 127.5 - 1, torch.Generator().manual_seed(0)).inputs
    for rows, least, largest in ((large, 0.5, 1.0), (small, 0.09, 0.16)):
        # A pixel short of the crop's edges on either side, of `size` pixels.
        size = rows.shape[-1]
        across = (rows[:, 0, 0, -1] - rows[:, 0, 0, 0]) / 2 * size / (size - 1)
        down = (rows[:, 1, -1, 0] - rows[:, 1, 0, 0]) / 2 * size / (size - 1)
        shares = across * down
        assert least - 0.04 < float(shares.min()) <= float(shares.max()) < largest + 0.04
    assert float(shares.std()) > 0.01


def test_features_of_both_sizes_stand_beside_each_other() -> None:
    model = CASES["dino"].model()
    views = views_of(model, CASES["dino"].images(4))
    with torch.no_grad():
        found = encoded(model.encoder, views)
        assert found.shape == (4, 5, 5)
        for i in range(4):
            for v in range(5):
                rows, number = (views.inputs[0], 2 * i + v) if v < 2 else (views.inputs[1], 3 * i + v - 2)
                torch.testing.assert_close(found[i, v], model.encoder(rows[number : number + 1])[0])


def test_the_papers_small_crops_are_96_pixels_of_224() -> None:
    with torch.device("meta"):
        task = pretext.build("swav", encoders.build("resnet18", 3, 224))
    assert task.augmentations[0].size == 224
    assert task.small_augmentation.size == 96
    assert task.augmentations[0].scale == (0.14, 1.0)
    assert task.small_augmentation.scale == (0.05, 0.14)


def test_an_encoder_of_one_size_is_refused_unless_small_crops_have_it() -> None:
    encoder = encoders.build("mlp", 3, 14)
    with pytest.raises(InputError) as error:
        SwAV(encoder, SwAV.Options())
    assert str(error.value) == (
        "pretext.local_size: 6 cannot work with encoder Sequential for images of 14 pixels, which does not take small "
        "crops of that size; allowed: 14, or local_crops 0"
    )
    SwAV(encoder, SwAV.Options(local_crops=0))
    assert SwAV(encoder, SwAV.Options(local_size=14)).small_augmentation.size == 14


def _vit(**options: object) -> PretextModel:
    torch.manual_seed(0)
    encoder = encoders.build("small_vit", 3, 16)
    return PretextModel(encoder, SwAV(encoder, SwAV.Options(prototypes=5, hidden_dim=4, batch_norm=False, **options)))


def test_a_vision_transformer_takes_small_crops_of_whole_patches() -> None:
    model, plain = _vit(), _vit(local_crops=0)
    images = torch.randint(256, (3, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    views = model.task.views(images, lambda stored: stored / 127.5 - 1, torch.Generator().manual_seed(0))
    # 8 patches a side; three sevenths of them are 3.
    assert [rows.shape[-1] for rows in views.inputs] == [16, 6]
    with torch.no_grad():
        assert torch.equal(model.encoder(views.inputs[0]), plain.encoder(views.inputs[0]))
        assert model.encoder(views.inputs[1]).shape == (18, 192)
    with pytest.raises(InputError, match=r"pretext\.local_size: 7 cannot work with encoder VisionTransformer"):
        _vit(local_size=7)


def test_the_interpolated_positions_of_a_vision_transformer_have_a_forward_mode_rule() -> None:
    """Against backward passes, as exact as timm's float32 positions."""
    model = _vit(local_crops=2).double()
    images = torch.randint(256, (3, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    views = model.task.views(images, lambda stored: stored.double() / 127.5 - 1, torch.Generator().manual_seed(0))
    theta = {name: value for name, value in model.named_parameters() if value.requires_grad}
    direction = {name: torch.randn_like(value) for name, value in theta.items()}
    weights = torch.ones(3, dtype=torch.float64)
    found = ForwardMode(model).derivatives(views, weights, 3, theta, direction)
    for i, loss in enumerate(model.losses(views)):
        gradients = torch.autograd.grad(loss, list(theta.values()), retain_graph=True)
        expected = sum(float((g * direction[name]).sum()) for g, name in zip(gradients, theta, strict=True))
        assert float(found[i]) == pytest.approx(expected, rel=1e-5)


def test_without_small_crops_there_are_two_views() -> None:
    task = _task(local_crops=0)
    images = torch.zeros(3, 3, 14, 14, dtype=torch.uint8)
    (large,) = task.views(images, lambda stored: stored / 1.0, torch.Generator()).inputs
    assert large.shape == (6, 3, 14, 14)


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("local_crops", -1, "at least 0"),
        ("local_size", 1, "at least 2, or none"),
        ("local_least_area", 0.0, "above 0, at most 1"),
        ("local_largest_area", 0.01, "local_least_area (0.05) to 1"),
    ],
)
def test_options_that_cannot_work_are_refused(field: str, value: float, allowed: str) -> None:
    with pytest.raises(InputError) as error:
        MultiCropOptions(**{field: value})
    assert str(error.value) == f"pretext.{field}: {value} cannot work; allowed: {allowed}"
