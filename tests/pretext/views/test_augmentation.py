"""Draws: each view has its own, they come from the generator, and they are distributed as torchvision's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor
from torchvision.transforms.v2 import RandomResizedCrop

from bdw.pretext.views import Augmentation
from bdw.pretext.views.augmentation import RATIO
from bdw.pretext.views.crops import Boxes, random_boxes

EVERYTHING = Augmentation(size=12, flip=0.5, jitter=0.9, grey=0.3, blur=0.5, solarise=0.3)
NOTHING = Augmentation(size=12, scale=(1.0, 1.0), flip=0.0, jitter=0.0, grey=0.0, blur=0.0)


def _images(count: int = 8, channels: int = 3, side: int = 12) -> Tensor:
    shape = (count, channels, side, side)
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def _views(images: Tensor, augmentation: Augmentation = EVERYTHING, copies: int = 2, seed: int = 3) -> Tensor:
    return augmentation(images, torch.Generator().manual_seed(seed), copies)


@pytest.mark.parametrize("channels", [1, 3])
def test_views_are_floats_in_range_drawn_from_the_generator_alone(channels: int) -> None:
    images = _images(channels=channels)
    before = images.clone()
    torch.manual_seed(0)
    found = _views(images)
    torch.manual_seed(1)
    assert torch.equal(found, _views(images))
    assert torch.equal(images, before)
    assert found.shape == (16, channels, 12, 12)
    assert found.dtype == torch.float32
    assert -1 <= float(found.min()) < float(found.max()) <= 1
    assert not torch.equal(found, _views(images, seed=4))


def test_a_view_depends_on_no_other_image() -> None:
    images = _images()
    others = 255 - images
    others[3] = images[3]
    found, changed = _views(images), _views(others)
    torch.testing.assert_close(found[6:8], changed[6:8], rtol=0, atol=1e-6)
    assert not torch.equal(found[5], changed[5])


def test_every_view_has_its_own_draws() -> None:
    same = _images(1).expand(20, -1, -1, -1)
    found = _views(same).flatten(1)
    distances = torch.cdist(found, found) + torch.eye(40) * 9
    assert float(distances.min()) > 0.1


def test_without_any_change_a_view_is_the_image() -> None:
    # A ratio away from 1 cannot fit into the whole of a square image, so that the middle box is taken, all of it.
    images = _images()
    torch.testing.assert_close(_views(images, NOTHING, copies=1), images / 127.5 - 1, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("field", "probability"), [("flip", 0.3), ("grey", 0.2), ("blur", 0.4), ("solarise", 0.25)])
def test_probabilities_are_those_asked_for(field: str, probability: float) -> None:
    images = _images(1).expand(2000, -1, -1, -1)
    found = _views(images, Augmentation(**{**vars(NOTHING), field: probability}), copies=1)
    plain = images / 127.5 - 1
    changed = int(((found - plain).abs().amax(dim=(1, 2, 3)) > 1e-3).sum())
    assert scipy.stats.binomtest(changed, 2000, probability).pvalue > 1e-3


def test_grey_views_have_one_colour() -> None:
    found = _views(_images(), Augmentation(**{**vars(EVERYTHING), "grey": 1.0, "solarise": 0.0}))
    assert float((found - found[:, :1]).abs().max()) < 1e-5


@pytest.mark.parametrize(("height", "width"), [(40, 40), (30, 90)])
def test_boxes_are_distributed_as_torchvisions(height: int, width: int) -> None:
    count, scale = 3000, (0.08, 1.0)
    boxes = random_boxes((count,), height, width, scale, RATIO, torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    crop = RandomResizedCrop(8, scale=scale, ratio=RATIO)
    blank = torch.empty(1, height, width)
    theirs = [crop.make_params([blank]) for _ in range(count)]
    for name in Boxes._fields:
        expected = np.array([params[name] for params in theirs])
        assert scipy.stats.ks_2samp(getattr(boxes, name).numpy(), expected).pvalue > 1e-3, name


def test_what_never_fits_is_the_largest_box_in_the_middle() -> None:
    boxes = random_boxes((4,), 20, 100, (0.9, 1.0), RATIO, torch.Generator().manual_seed(0))
    assert [part.tolist() for part in boxes] == [[0] * 4, [(100 - 27) // 2] * 4, [20] * 4, [27] * 4]
    boxes = random_boxes((4,), 100, 20, (0.9, 1.0), RATIO, torch.Generator().manual_seed(0))
    assert [part.tolist() for part in boxes] == [[(100 - 27) // 2] * 4, [0] * 4, [27] * 4, [20] * 4]


def test_jitter_of_no_strength_changes_nothing() -> None:
    images = _images()
    still = Augmentation(**{**vars(NOTHING), "jitter": 1.0, "strength": 0.0})
    torch.testing.assert_close(_views(images, still, copies=1), images / 127.5 - 1, rtol=0, atol=1e-5)


def test_brightness_spans_what_its_strength_says() -> None:
    """Blank images: hue and saturation leave grey as it is, and contrast around a mean that is the value itself."""
    images = torch.full((4000, 3, 12, 12), 100, dtype=torch.uint8)
    found = _views(images, Augmentation(**{**vars(NOTHING), "jitter": 1.0}), copies=1)
    factors = ((found[:, 0, 0, 0] + 1) / 2) / (100 / 255)
    result = scipy.stats.kstest(factors.numpy(), scipy.stats.uniform(0.2, 1.6).cdf)
    assert result.pvalue > 1e-3
    assert math.isclose(float(factors.max()), 1.8, abs_tol=0.01)


def test_no_operation_stays_on_the_cpu_where_images_are_elsewhere() -> None:
    """On the meta device a mixture of devices is an error, as it is on a GPU."""
    images = torch.empty(6, 3, 20, 20, dtype=torch.uint8, device="meta")
    found = _views(images)
    assert found.shape == (12, 3, 12, 12)
    assert found.device.type == "meta"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_makes_the_same_views() -> None:
    images = _images(16, side=40)
    torch.testing.assert_close(_views(images.cuda()).cpu(), _views(images), rtol=0, atol=1e-4)
