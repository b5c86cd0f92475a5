"""Parts of images, cut out anywhere: found by registration, and as leaks of held-out images."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

from bdw.data import cropped_leaks, crops
from bdw.data.leaks import Leak
from benchmarks import cropped_leaks as benchmark

Pixels = NDArray[np.uint8]
SIDE = 64


def pictures() -> Pixels:
    """Patches (n, 3, s, s) of scikit-learn's two photographs that show something, none over another."""
    found = []
    for photo in load_sample_images().images:
        for top in range(0, photo.shape[0] - SIDE, SIDE):
            for left in range(0, photo.shape[1] - SIDE, SIDE):
                patch = photo[top : top + SIDE, left : left + SIDE]
                if patch.std() > 30:
                    found.append(patch.transpose(2, 0, 1))
    return np.stack(found)


def cut(image: Pixels, top: int, left: int, size: int) -> Pixels:
    """A part at the image's own size, encoded anew."""
    part = Image.fromarray(image.transpose(1, 2, 0)).crop((left, top, left + size, top + size)).resize((SIDE, SIDE))
    stream = io.BytesIO()
    part.save(stream, "JPEG", quality=85)
    return np.asarray(Image.open(stream)).transpose(2, 0, 1)


def pool_of(images: Pixels) -> Any:
    class Pool(SimpleNamespace):
        def __len__(self) -> int:
            return len(self.images)

    return Pool(images=images, names=np.array([f"{i:03}.jpg" for i in range(len(images))]))


def test_correlations_are_those_of_every_window() -> None:
    """Against a loop over windows, at one size, of images that are their own details."""
    generator = torch.Generator().manual_seed(0)
    look = crops._Look(8, 1)
    whole, part = (torch.rand(1, 2, side, side, generator=generator) * 255 for side in (13, 8))
    found, place = crops._correlations(whole, part, (13,), look)
    details, template = crops._details(whole, look)[0].double(), crops._details(part, look)[0].double()
    expected = max(
        float((window * template).sum() / window.norm() / template.norm())
        for top in range(6)
        for left in range(6)
        for window in [details[:, top : top + 8, left : left + 8]]
    )
    assert float(found) == pytest.approx(expected, abs=1e-5)
    assert int(place) == 0


def test_a_part_is_told_from_what_is_none() -> None:
    images = pictures()[:20]
    whole = crops.comparable(images[:1])
    parts = crops.comparable(np.stack([cut(images[0], 12, 3, 40), cut(images[0], 0, 0, 60), *images[1:]]))
    found = crops.containments(whole, parts)
    assert float(found[:2].min()) > cropped_leaks.LEAST_CORRELATION > float(found[2:].max())
    torch.testing.assert_close(crops.containments(whole.expand(len(parts), -1, -1, -1), parts), found)
    blank = torch.full_like(parts[:1], 90.0)
    assert crops.containments(whole, blank).tolist() == [-1.0]


def test_crops_in_a_pool_are_found_and_nothing_else() -> None:
    """A crop, one of a mirror image, a darker one, and an image of which a held-out one is a part."""
    images = pictures()
    held_out, others = images[:8], images[8:]
    held_out[3] = cut(others[5], 8, 20, 42)
    darker = (cut(held_out[2], 20, 20, 36) * 0.8).astype(np.uint8)
    planted = np.stack([cut(held_out[0], 0, 14, 50), cut(held_out[1], 9, 30, 34)[..., ::-1], darker])
    source = pool_of(np.concatenate([planted, others]))
    names = np.array([f"test{i}.jpg" for i in range(len(held_out))])
    heard: list[tuple[int, int | None]] = []
    splits = {"test": (held_out, names), "validation": (images[:0], names[:0])}
    found = cropped_leaks.find_cropped_leaks(
        source, splits, cropped_leaks.small_pictures, lambda done, total: heard.append((done, total))
    )
    assert found == (
        Leak(0, "000.jpg", "test", "test0.jpg", is_crop=True),
        Leak(1, "001.jpg", "test", "test1.jpg", is_crop=True),
        Leak(2, "002.jpg", "test", "test2.jpg", is_crop=True),
        Leak(8, "008.jpg", "test", "test3.jpg", is_crop=True),
    )
    assert heard[0] == (len(source), len(source))
    assert heard[-1] == (8, 8)


def test_other_shapes_have_none() -> None:
    images = pictures()[:3]
    splits = {"test": (images[..., :32, :32], np.array(["a", "b", "c"]))}
    assert cropped_leaks.find_cropped_leaks(pool_of(images), splits, cropped_leaks.small_pictures) == ()


def test_the_benchmark_counts_what_it_planted() -> None:
    images = pictures()
    row = benchmark._measured(images.copy(), 5, 1)
    assert row["planted"] == 5
    assert row["recall"] >= 0.8
    assert row["precision"] == 1
    assert row["found"] == round(5 * row["recall"])
    assert row["recall_of_whole_images"] < row["recall"]
