"""The benchmark of views: what it compares makes views of the same shape and range, and every variant has a row."""

from __future__ import annotations

import torch

from benchmarks.views import Arguments, compare, variants


def test_all_variants_make_a_view_of_every_image() -> None:
    images = torch.randint(256, (3, 3, 20, 20), dtype=torch.uint8)
    for name, make in variants(16, images, seed=0).items():
        views = make()
        assert views.shape == (3, 3, 16, 16), name
        assert views.dtype == torch.float32, name
        assert -1.001 <= float(views.min()) < float(views.max()) <= 1.001, name


def test_ratios_are_to_ours() -> None:
    rows = compare(Arguments(sides=(16,), images=3, rounds=2))
    assert [row["variant"] for row in rows][:3] == ["ours", "torchvision, each", "torchvision, batch"]
    assert rows[0]["ratio"] == 1
    assert all(row["milliseconds"] > 0 and row["lowest"] <= row["ratio"] <= row["highest"] for row in rows)
