"""Barlow Twins against the paper's equations, number by number, and its mixed variant against its authors' formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from bdw.config import RunConfig
from bdw.config.pretext_options.barlow_twins import BarlowTwinsOptions
from bdw.data import Problem
from bdw.errors import InputError
from bdw.pretext import Outputs, PretextModel
from bdw.pretext.barlow_twins import EPSILON
from bdw.training.trainer import Trainer
from bdw.weighting.gradient.estimators import ForwardMode
from tests.pretext.cases import CASES
from tests.pretext.models import views_of

WEIGHTS = torch.linspace(0.2, 1.5, 7, dtype=torch.float64)


def _outputs(name: str = "barlow_twins") -> tuple[PretextModel, Outputs]:
    model = CASES[name].model()
    with torch.no_grad():
        return model, model(views_of(model, CASES[name].images(7)))


def _standardised(rows: Tensor, weights: Tensor) -> NDArray[np.float64]:
    values = rows.numpy()
    means = np.average(values, axis=0, weights=weights.numpy())
    variances = np.average((values - means) ** 2, axis=0, weights=weights.numpy())
    result: NDArray[np.float64] = (values - means) / np.sqrt(variances + EPSILON)
    return result


@pytest.mark.parametrize("weights", [torch.ones(7, dtype=torch.float64), WEIGHTS])
def test_the_loss_is_equation_1_of_the_weighted_matrix(weights: Tensor) -> None:
    model, outputs = _outputs()
    first, second = (_standardised(view, weights) for view in outputs.z[0].unbind(dim=1))
    expected, shares = 0.0, weights / weights.sum()
    for d in range(4):
        for e in range(4):
            correlation = sum(float(shares[i]) * first[i, d] * second[i, e] for i in range(7))
            expected += (1 - correlation) ** 2 if d == e else 0.005 * correlation**2
    found = float(model.task.loss(outputs, weights, 7).total)
    assert found == pytest.approx(expected * float(weights.mean()), rel=1e-10)


def test_correlations_are_numpys() -> None:
    model, outputs = _outputs()
    matrix = np.corrcoef(*(view.T.numpy() for view in outputs.z[0].unbind(dim=1)))[:4, 4:]
    diagonal = np.diag(matrix)
    expected = ((1 - diagonal) ** 2).sum() + 0.005 * ((matrix**2).sum() - (diagonal**2).sum())
    # corrcoef adds nothing to the variances.
    assert float(model.task.loss(outputs, torch.ones(7), 7).total) == pytest.approx(expected, rel=0.05)
    large = outputs._replace(z=(outputs.z[0] * 1e4,))
    assert float(model.task.loss(large, torch.ones(7), 7).total) == pytest.approx(expected, rel=1e-8)


def test_mixed_images_correlate_as_the_mixture_of_their_embeddings() -> None:
    """With equal weights, by the two matrices of the authors' code."""
    name = "barlow_twins, mixed"
    model, outputs = _outputs(name)
    first, second, mixed = (_standardised(view, torch.ones(7)) for view in outputs.z[0].unbind(dim=1))
    ratios, numbers, partners = (part.numpy() for part in outputs.given)
    index = [numbers.tolist().index(partner) for partner in partners]
    assert sorted(index) == list(range(7))
    expected = 0.0
    for view in (first, second):
        matrix = mixed.T @ view / 7
        wanted = (ratios[:, None] * first).T @ view / 7 + ((1 - ratios[:, None]) * second[index]).T @ view / 7
        expected += ((matrix - wanted) ** 2).sum()
    plain = outputs._replace(z=(outputs.z[0][:, :2],), given=())
    found = model.task.loss(outputs, torch.ones(7), 7).total - model.task.loss(plain, torch.ones(7), 7).total
    assert float(found) == pytest.approx(5 * 0.005 * expected, rel=1e-9)


def test_mixed_images_are_mixed_from_two_instances() -> None:
    name = "barlow_twins, mixed"
    model = CASES[name].model()
    shown, ratios, numbers, partners = views_of(model, CASES[name].images(7)).inputs
    first, second, mixed = shown.unflatten(0, (7, 3)).unbind(dim=1)
    for i in range(7):
        j = numbers.tolist().index(partners[i])
        torch.testing.assert_close(mixed[i], ratios[i] * first[i] + (1 - ratios[i]) * second[j], rtol=0, atol=1e-12)
    assert len(ratios.unique()) == 7
    assert 0 <= float(ratios.min()) < float(ratios.max()) <= 1


@pytest.mark.parametrize("name", ["barlow_twins", "barlow_twins, mixed"])
def test_losses_of_instances_have_the_loss_as_their_mean(name: str) -> None:
    model, outputs = _outputs(name)
    losses = model.task.losses(outputs)
    batch = model.task.loss(outputs, torch.ones(7), 7)
    assert float(losses.mean()) == pytest.approx(float(batch.total), rel=1e-12)
    torch.testing.assert_close(batch.losses, losses, rtol=1e-12, atol=0)
    assert float(losses.min()) >= 0
    assert len(losses.unique()) == 7


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("off_diagonal", 0.0, "a number above 0"),
        ("mixed", -1.0, "0 or a number above it"),
        ("mixed", math.nan, "0 or a number above it"),
        ("projection_dim", 0, "at least 1"),
        ("hidden_dim", 0, "at least 1"),
        ("second_blur", 1.5, "0 to 1"),
        ("second_solarise", -0.5, "0 to 1"),
    ],
)
def test_options_that_cannot_work_are_refused(field: str, value: float, allowed: str) -> None:
    with pytest.raises(InputError) as error:
        BarlowTwinsOptions(**{field: value})
    assert str(error.value) == f"pretext.{field}: {value} cannot work; allowed: {allowed}"


@pytest.mark.parametrize("weighter", ["beta", "point", "l2rw"])
def test_it_trains_with_weights_that_are_0_at_first_too(config: RunConfig, problem: Problem, weighter: str) -> None:
    settings = {"pretext": "barlow_twins", "weighter": weighter, "crop_size": 8, "epochs": 1}
    options = {"pretext.projection_dim": 8, "pretext.hidden_dim": 8}
    trainer = Trainer(config.replace(**settings, **options), problem=problem)
    (report,) = trainer.epochs()
    assert math.isfinite(report.loss)
    assert isinstance(trainer.learner.alignment.estimator, ForwardMode)
    assert all(bool(value.isfinite().all()) for value in trainer.learner.model.parameters())
