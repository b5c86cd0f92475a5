"""Every loader of the comparison does the same work, and ours is the one that trains."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bdw.data.image_table import ImageTable
from benchmarks import input_pipeline
from benchmarks.input_pipeline import SETTINGS, OneAtATime, Setting

SMALL = Setting(side=16, crop=16, padding=0, batch=4, file="few.npz", preset="digits")


def _png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()


def test_files_and_packed_images_come_out_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a coin's flip and with a single crop nothing is left to chance, so that all must agree on every pixel."""
    pixels = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
    files = [_png(image) for image in pixels]
    packed = input_pipeline.decoded(files)
    np.testing.assert_array_equal(packed, pixels.transpose(0, 3, 1, 2))
    monkeypatch.setattr("torchvision.transforms.RandomHorizontalFlip.forward", lambda self, image: image)
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.ones(*shape))
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(0))
    ours = torch.cat(list(input_pipeline.our_batches(SMALL, ImageTable(packed, torch.device("cpu")), generator)))
    for source in (files, packed):
        each = OneAtATime(SMALL, source)
        views = torch.cat([each[int(index)] for index in order])
        torch.testing.assert_close(views, ours, rtol=0, atol=1e-6)


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_loader_yields_all_views_of_all_images(setting: str) -> None:
    files = input_pipeline.encoded_images(SETTINGS[setting], 10, None, seed=0)
    packed = input_pipeline.decoded(files)
    assert packed.shape == (10, 3, SETTINGS[setting].side, SETTINGS[setting].side)
    loaders = input_pipeline.passes(SETTINGS[setting], files, packed, (0,), 0)
    assert {name: run() for name, run in loaders.items()} == dict.fromkeys(
        ("ours", "files, 0 workers", "packed, 0 workers"), 40
    )


def test_real_files_are_repeated_until_there_are_enough(tmp_path: Path) -> None:
    files = [_png(np.full((16, 16, 3), value, dtype=np.uint8)) for value in (0, 100, 200)]
    data = np.frombuffer(b"".join(files), dtype=np.uint8)
    np.savez(tmp_path / "few.npz", data=data, offsets=np.cumsum([0, *map(len, files)]))
    found = input_pipeline.encoded_images(SMALL, 5, str(tmp_path), 0)
    assert found == [files[i] for i in (0, 1, 2, 0, 1)]


def test_waiting_is_a_share_of_real_steps() -> None:
    found = input_pipeline.measure_waiting("digits", steps=4, threads=1)
    for settings in ("BDW", "RotNet"):
        assert 0 < found[settings]["waiting"] < 1
        assert found[settings]["step_ms"] > 0
