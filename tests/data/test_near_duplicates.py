"""Planted near-duplicates among patches of photographs are found, and little else; hashes against scipy's transform."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn
from sklearn.datasets import load_sample_images

from bdw.data.near_duplicates import correlations, near_duplicate_groups
from bdw.data.perceptual_hash import BITS, SIDE, grey_thumbnails, low_frequencies, perceptual_hashes

Pixels = NDArray[np.uint8]


def patches(side: int) -> Pixels:
    """All patches of scikit-learn's two photographs, side by side, (n, 3, side, side)."""
    found = []
    for photo in load_sample_images().images:
        height, width = (length // side * side for length in photo.shape[:2])
        cut = photo[:height, :width].reshape(height // side, side, width // side, side, 3)
        found.append(cut.transpose(0, 2, 4, 1, 3).reshape(-1, 3, side, side))
    return np.concatenate(found)


def encoded_again(image: Pixels) -> Pixels:
    stream = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(stream, "JPEG", quality=80)
    return np.asarray(Image.open(stream)).transpose(2, 0, 1)


def shifted(image: Pixels, down: int, right: int) -> Pixels:
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)), mode="edge")
    side = image.shape[-1]
    return padded[:, 1 + down : 1 + down + side, 1 + right : 1 + right + side]


def brighter(image: Pixels, gain: float, offset: float) -> Pixels:
    return np.clip(image * gain + offset, 0, 255).round().astype(np.uint8)


@pytest.mark.parametrize("side", [32, 48])
def test_planted_ones_are_found_and_little_else(side: int) -> None:
    """Re-encoded, shifted by a pixel, brighter or darker: recall and precision over pairs, both at least 0.95."""
    images = patches(side)
    # Re-encoding changes patches of sky, water or leaves out of focus as much as what they show.
    images = images[images.std(axis=(1, 2, 3)) > 40]
    rng = np.random.default_rng(0)
    originals = rng.choice(len(images), 60, replace=False)
    copies = [
        (
            encoded_again(images[i]),
            shifted(images[i], *((0, 1), (1, 0), (-1, 0), (0, -1), (1, 1))[number % 5]),
            brighter(images[i], rng.uniform(0.8, 1.2), rng.uniform(-20, 20)),
        )[number % 3]
        for number, i in enumerate(originals)
    ]
    everything = np.concatenate([images, np.stack(copies)])
    groups = near_duplicate_groups(grey_thumbnails(torch.from_numpy(everything)))
    same = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    found = {pair for rows in same for pair in itertools.combinations(rows.tolist(), 2)}
    planted = set(zip(originals.tolist(), range(len(images), len(everything)), strict=True))
    assert len(found & planted) / len(planted) >= 0.95
    assert len(found & planted) / len(found) >= 0.95


def test_hashes_are_those_of_scipys_cosine_transform() -> None:
    thumbnails = grey_thumbnails(torch.from_numpy(patches(32)[:40]))
    bits = perceptual_hashes(low_frequencies(thumbnails))
    assert bits.shape == (40, BITS)
    for image, own in zip(thumbnails.double().numpy(), bits.numpy(), strict=True):
        low = dctn(image, norm="ortho")[1:9, 1:9].ravel()
        order = np.argsort(low)
        # Numbers beside the median may round to its other side.
        clear = np.setdiff1d(np.arange(BITS), order[31:33])
        np.testing.assert_array_equal(own[clear], np.where(low > np.sort(low)[31], 1, -1)[clear])


def test_brightness_and_contrast_do_not_change_a_hash() -> None:
    thumbnails = grey_thumbnails(torch.from_numpy(patches(32)[:40])).float()
    assert torch.equal(
        perceptual_hashes(low_frequencies(thumbnails)), perceptual_hashes(low_frequencies(thumbnails * 0.5 + 30))
    )


def test_small_images_keep_their_pixels_and_large_ones_are_averaged() -> None:
    small = torch.randint(0, 256, (3, 1, 24, 24), dtype=torch.uint8)
    assert torch.equal(grey_thumbnails(small), small[:, 0])
    large = torch.full((2, 3, 96, 96), 77, dtype=torch.uint8)
    assert torch.equal(grey_thumbnails(large), torch.full((2, SIDE, SIDE), 77, dtype=torch.uint8))


def test_correlation_is_pearsons_at_the_best_shift() -> None:
    one, other = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 5, 20, 20), dtype=np.uint8))
    a, b = one.double().numpy(), other.double().numpy()
    best = [
        max(
            np.corrcoef(a[i, 1:-1, 1:-1].ravel(), b[i, d : 18 + d, r : 18 + r].ravel())[0, 1]
            for d in range(3)
            for r in range(3)
        )
        for i in range(5)
    ]
    np.testing.assert_allclose(correlations(one, other).numpy(), best, rtol=0, atol=1e-5)
    assert correlations(one, one.roll((1, 1), dims=(1, 2))).min() > 0.999


def test_images_of_one_grey_are_alike_by_that_grey() -> None:
    greys = torch.tensor([12, 200, 12, 13, 120, 200], dtype=torch.uint8)
    thumbnails = greys[:, None, None].expand(-1, 16, 16)
    assert near_duplicate_groups(thumbnails).tolist() == [0, 1, 0, 0, 2, 1]


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    thumbnails = grey_thumbnails(torch.from_numpy(np.concatenate([patches(32)[:60]] * 2)))
    whole = near_duplicate_groups(thumbnails)
    heard: list[int] = []
    monkeypatch.setattr("bdw.data.near_duplicates._BLOCK", 7)
    monkeypatch.setattr("bdw.data.near_duplicates._PAIRS", 5)
    parts = near_duplicate_groups(thumbnails, lambda done, total: heard.append(done))
    np.testing.assert_array_equal(parts, whole)
    np.testing.assert_array_equal(whole[:60], whole[60:])
    assert heard == sorted(heard)
