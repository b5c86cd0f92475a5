"""Classes of colour against searches over all of them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bdw.errors import InputError
from bdw.pretext import Images, ab_classes
from bdw.pretext.views.lab import rgb_to_lab


def _colours(count: int = 500) -> Tensor:
    rgb = torch.rand(1, 3, count, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return rgb_to_lab(rgb)[:, 1:]


def test_there_are_261_cells_of_side_10() -> None:
    centres = ab_classes.centres()
    assert centres.shape == (261, 2)
    assert len(torch.unique(centres, dim=0)) == 261
    assert bool((centres % 10 == 0).all())


def test_a_colours_class_is_the_nearest_of_all() -> None:
    ab, centres = _colours(), ab_classes.centres()
    found = ab_classes.nearest(ab)[0]
    for i in range(0, 500, 7):
        distances = [math.dist(ab[0, :, i].tolist(), centre.tolist()) for centre in centres]
        assert int(found[i]) == distances.index(min(distances))


@pytest.mark.parametrize(("colour", "cell"), [((-118.0, 93.0), (-120, 90)), ((118.0, 3.0), (120, 0))])
def test_a_colour_in_no_cell_has_the_class_nearest_to_its_place(
    colour: tuple[float, float], cell: tuple[int, int]
) -> None:
    distances = [math.dist(cell, centre.tolist()) for centre in ab_classes.centres()]
    assert min(distances) > 0
    assert distances[int(ab_classes.nearest(torch.tensor(colour)[None, :, None]))] == min(distances)


def test_the_soft_encoding_is_a_gaussian_on_the_five_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ab_classes, "_ROWS_AT_ONCE", 70)
    ab, centres = _colours(400).view(2, 200, 2).transpose(1, 2).contiguous(), ab_classes.centres()
    classes, shares = ab_classes.soft_encoding(ab)
    assert classes.shape == shares.shape == (2, 5, 200)
    for image, place in [(0, 0), (0, 199), (1, 3), (1, 111)]:
        distances = [math.dist(ab[image, :, place].tolist(), centre.tolist()) for centre in centres]
        order = sorted(range(261), key=distances.__getitem__)[:5]
        gaussians = [math.exp(-(distances[i] ** 2) / 50) for i in order]
        assert classes[image, :, place].tolist() == order
        expected = torch.tensor([each / sum(gaussians) for each in gaussians], dtype=torch.float64)
        torch.testing.assert_close(shares[image, :, place], expected, rtol=1e-9, atol=1e-12)


def test_rebalancing_is_equation_4() -> None:
    counts = torch.zeros(261, dtype=torch.int64)
    counts[[100, 17]] = torch.tensor([900, 100])
    centres, smoothed = ab_classes.centres(), [0.0] * 261
    for bin_, share in ((100, 0.9), (17, 0.1)):
        gaussians = [math.exp(-(math.dist(centres[bin_].tolist(), c.tolist()) ** 2) / 50) for c in centres]
        for i in range(261):
            smoothed[i] += share * gaussians[i] / sum(gaussians)
    inverse = [1 / (0.5 * p + 0.5 / 261) for p in smoothed]
    scale = sum(p * w for p, w in zip(smoothed, inverse, strict=True))
    expected = torch.tensor([w / scale for w in inverse], dtype=torch.float64)
    shares = ab_classes.smoothed(counts)
    assert float(shares.sum()) == pytest.approx(1, rel=1e-12)
    torch.testing.assert_close(ab_classes.rebalancing(shares, 0.5), expected, rtol=1e-10, atol=1e-12)
    flat = ab_classes.rebalancing(shares, 1.0)
    torch.testing.assert_close(flat, torch.ones_like(flat), rtol=1e-12, atol=1e-12)


def test_grey_images_are_refused() -> None:
    ab_classes.require_colour("colourisation", Images(3, 8, 8))
    with pytest.raises(InputError) as error:
        ab_classes.require_colour("colourisation", Images(1, 8, 8))
    assert str(error.value) == (
        "pretext: 'colourisation' cannot work with images of 1 channel(s), which have no colours; allowed: a source of "
        "colour images, or another pretext task"
    )
