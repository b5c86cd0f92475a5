"""The denoising auto-encoder against the paper's equation in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bdw.config.pretext_options.denoising import DenoisingOptions
from bdw.errors import InputError
from bdw.pretext import PretextModel
from bdw.pretext.denoising import DenoisingAutoEncoder
from tests.pretext.cases import small_encoder
from tests.pretext.models import views_of


def _model(**options: float) -> PretextModel:
    torch.manual_seed(0)
    encoder = small_encoder(3, 6, "group")
    return PretextModel(encoder, DenoisingAutoEncoder(encoder, DenoisingOptions(**options))).double()


def _images() -> torch.Tensor:
    return torch.randint(1, 256, (5, 3, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("corruption", "number"), [(0.25, 9), (0.001, 1), (0.5, 18)])
def test_so_many_pixels_are_black_and_no_other_changes(corruption: float, number: int) -> None:
    corrupted, crops = views_of(_model(corruption=corruption), _images()).inputs
    black = (corrupted == -1).all(dim=1)
    assert black.flatten(1).sum(dim=1).tolist() == [number] * 5
    assert torch.equal(corrupted.movedim(1, -1)[~black], crops.movedim(1, -1)[~black])
    assert len({tuple(row) for row in black.flatten(1).tolist()}) > 1, "each image has its own"


def test_losses_are_equation_2_of_the_whole_image() -> None:
    model = _model()
    views = views_of(model, _images())
    found = model.losses(views).detach().numpy()
    weight, bias = model.task.decoder.weight.detach().numpy(), model.task.decoder.bias.detach().numpy()
    for i, image in enumerate(_images().numpy()):
        y = model.encoder(views.inputs[0][i : i + 1]).detach().numpy()[0]
        x, z = image.reshape(-1) / 255, 1 / (1 + np.exp(-(weight @ y + bias)))
        expected = -np.sum(x * np.log(z) + (1 - x) * np.log(1 - z))
        assert found[i] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("corruption", [0.0, 1.0, float("nan")])
def test_options_that_cannot_work_are_refused(corruption: float) -> None:
    with pytest.raises(InputError, match=r"^pretext.corruption: .* cannot work; allowed: above 0, below 1$"):
        DenoisingOptions(corruption=corruption)
