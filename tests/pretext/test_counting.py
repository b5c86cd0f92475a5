"""Counting: the five views, and the loss against the paper's equation, pair by pair."""

from __future__ import annotations

import math

import pytest
import torch

from bdw import encoders
from bdw.config.pretext_options.counting import CountingOptions
from bdw.errors import InputError
from bdw.pretext.counting import Counting, counting_losses
from tests.pretext.cases import CASES, small_encoder
from tests.pretext.models import as_stored, views_of


def _task(side: int = 8, **options: float) -> Counting:
    return Counting(small_encoder(3, side, "group"), CountingOptions(count_dim=4, hidden_dim=6, **options))


@pytest.mark.parametrize("margin", [1.0, 10.0, 40.0])
def test_losses_are_equation_4(margin: float) -> None:
    counts = torch.rand(4, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = counting_losses(counts, margin).tolist()
    for i in range(4):
        together = [sum(float(counts[i, quarter, n]) for quarter in range(4)) for n in range(3)]

        def squared(other: int, together: list[float] = together) -> float:
            return sum((float(counts[other, 4, n]) - together[n]) ** 2 for n in range(3))

        others = [max(0.0, margin - squared(j)) for j in range(4) if j != i]
        assert found[i] == pytest.approx(squared(i) + sum(others) / 3, rel=1e-12)


def test_margins_of_both_kinds_are_seen_above() -> None:
    counts = torch.rand(4, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    distances = torch.cdist(counts[:, :4].sum(dim=1), counts[:, 4]).square()
    assert float(distances.min()) > 1, "with margin 1 no other image costs anything"
    assert float(distances.max()) < 40, "with margin 40 every other image does"


def test_quarters_and_small_image_are_those_of_the_crop() -> None:
    images = torch.randint(256, (2, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    views = _task(grey=0.0).views(images, as_stored, torch.Generator()).inputs[0].unflatten(0, (2, 5))
    crops = as_stored(images)
    quarters = [crops[..., :4, :4], crops[..., :4, 4:], crops[..., 4:, :4], crops[..., 4:, 4:]]
    for number, quarter in enumerate(quarters):
        assert torch.equal(views[:, number], quarter)
    assert views[1, 4, 2, 1, 3].item() == pytest.approx(crops[1, 2, 2:4, 6:8].mean().item(), rel=1e-12)


def test_an_odd_crop_loses_its_last_row_and_column() -> None:
    images = torch.zeros(2, 3, 9, 9, dtype=torch.uint8)
    images[..., 8, :] = 255
    images[..., :, 8] = 255
    views = _task(9).views(images, as_stored, torch.Generator()).inputs[0]
    assert views.shape == (10, 3, 4, 4)
    assert float((views + 1).abs().max()) < 1e-3, "black as the rest"


def test_all_five_views_of_a_grey_image_are_grey() -> None:
    images = torch.randint(256, (3, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    views = _task(grey=1.0).views(images, as_stored, torch.Generator()).inputs[0]
    torch.testing.assert_close(views[:, 0], views[:, 1])
    torch.testing.assert_close(views[:, 0], views[:, 2])


def test_counts_are_not_negative_and_belong_to_their_views() -> None:
    model = CASES["counting"].model()
    views = views_of(model, CASES["counting"].images(3))
    counts = model(views).z[0]
    assert counts.shape == (3, 5, 4)
    assert float(counts.detach().min()) >= 0
    single = model.task.counter(model.encoder(views.inputs[0][7:8]))[0]
    torch.testing.assert_close(counts[1, 2], single, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["small_vit", "mlp"])
def test_an_encoder_that_wants_whole_images_is_refused(name: str) -> None:
    with torch.device("meta"):
        encoder = encoders.build(name, 3, 32)
        with pytest.raises(InputError, match=r"crop_size: 32 cannot work: .* cannot see patches of 16 x 16 pix"):
            Counting(encoder)


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("margin", 0.0, "a number above 0"),
        ("margin", math.inf, "a number above 0"),
        ("grey", -0.1, "0 to 1"),
        ("count_dim", 0, "at least 1"),
        ("hidden_dim", 0, "at least 1, or none for the features'"),
    ],
)
def test_options_that_cannot_work_are_refused(field: str, value: float, allowed: str) -> None:
    with pytest.raises(InputError) as error:
        CountingOptions(**{field: value})
    assert str(error.value) == f"pretext.{field}: {value} cannot work; allowed: {allowed}"
