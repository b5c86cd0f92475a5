"""Alignment and uniformity against closed forms, and of encoders that see everything or nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import ive
from torch import Tensor, nn

from bdw.data import LabelledImages
from bdw.encoders import Encoder
from bdw.evaluation import alignment_uniformity
from bdw.evaluation.alignment_uniformity import alignment, evaluate_alignment, evaluate_uniformity, uniformity
from bdw.evaluation.features import Settings


def test_alignment_is_twice_one_minus_the_mean_cosine() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(2, 50, 7, dtype=torch.float64)
    assert alignment(a, b) == pytest.approx(2 * (1 - float(torch.cosine_similarity(a, b).mean())), rel=1e-12)
    assert alignment(a, 3 * a) == pytest.approx(0, abs=1e-12)
    assert alignment(a, -a) == pytest.approx(4)


def test_uniformity_of_evenly_spread_points_on_a_circle() -> None:
    """The mean over the circle of exp(-4 (1 - cos)) is e^-4 I_0(4); the sum without the point itself is exact."""
    n = 1000
    angles = torch.arange(n, dtype=torch.float64) * (2 * math.pi / n)
    points = 5 * torch.stack([angles.cos(), angles.sin()], dim=1)
    expected = math.log((n * float(ive(0, 4)) - 1) / (n - 1))
    assert uniformity(points) == pytest.approx(expected, rel=1e-9)


def test_uniformity_of_what_agrees_is_0_and_of_two_opposites_minus_8() -> None:
    assert uniformity(torch.ones(5, 3)) == pytest.approx(0, abs=1e-6)
    assert uniformity(torch.tensor([[1.0, 0.0], [-2.0, 0.0]])) == pytest.approx(-8)
    assert math.isnan(uniformity(torch.ones(1, 3)))


class _Mean(nn.Module):
    """The colours of an image, and which side is brighter."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> Tensor:
        means = images.mean(dim=(2, 3))
        half = images.shape[3] // 2
        return torch.cat([means, images[..., :half].mean(dim=(1, 2, 3))[:, None]], dim=1) * self.scale


def _images(count: int = 60) -> LabelledImages:
    """Every image of one colour: whatever the crop, it looks the same."""
    colours = np.random.default_rng(0).integers(0, 256, (count, 3, 1, 1), dtype=np.uint8)
    return LabelledImages(np.broadcast_to(colours, (count, 3, 12, 12)).copy(), np.zeros(count, dtype=np.int64))


def test_crops_of_plain_images_are_aligned_and_images_are_spread() -> None:
    encoder, images, settings = Encoder(_Mean(), 3, 4, (3, 8, 8)), _images(), Settings(crop_size=8)
    assert evaluate_alignment(encoder, images, settings) == pytest.approx(0, abs=1e-9)
    features = torch.from_numpy(images.images[:, :, 0, 0]).double() / 127.5 - 1
    expected = uniformity(torch.cat([features, features.mean(dim=1, keepdim=True)], dim=1))
    assert evaluate_uniformity(encoder, images, settings) == pytest.approx(expected, rel=1e-5)
    assert expected < -1


def test_crops_of_images_with_two_halves_are_not_aligned_and_drawn_by_the_seed() -> None:
    images = _images()
    images.images[..., 6:] = 255 - images.images[..., 6:]
    encoder = Encoder(_Mean(), 3, 4, (3, 8, 8)).train()
    found = [evaluate_alignment(encoder, images, Settings(crop_size=8, seed=seed)) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    assert min(found) > 0.05
    assert encoder.training


def test_large_splits_are_thinned_out_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alignment_uniformity, "MOST_IMAGES", 20)
    encoder, images, settings = Encoder(_Mean(), 3, 4, (3, 8, 8)), _images(), Settings(crop_size=8)
    every_third = LabelledImages(images.images[::3], images.labels[::3])
    whole = evaluate_uniformity(encoder, images, settings)
    assert whole == evaluate_uniformity(encoder, every_third, settings)
