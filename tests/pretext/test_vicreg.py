"""VICReg against the paper's equations and the weights of its authors' code, number by number."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from bdw.config.pretext_options.vicreg import VICRegOptions
from bdw.errors import InputError
from bdw.pretext import Outputs, PretextModel
from tests.pretext.cases import CASES
from tests.pretext.models import views_of

WEIGHTS = torch.linspace(0.2, 1.5, 7, dtype=torch.float64)


def _outputs() -> tuple[PretextModel, Outputs]:
    model = CASES["vicreg"].model()
    with torch.no_grad():
        outputs = model(views_of(model, CASES["vicreg"].images(7)))
    # So large that some deviations are above 1 and others below.
    return model, outputs._replace(z=(outputs.z[0] * 50,))


def test_the_loss_is_equation_6_with_equal_weights() -> None:
    model, outputs = _outputs()
    first, second = (view.numpy() for view in outputs.z[0].unbind(dim=1))
    expected = 25 * ((first - second) ** 2).sum(axis=1).mean() / 4
    hinges = []
    for view in (first, second):
        covariances = np.cov(view, rowvar=False)
        hinges += [max(0.0, 1 - math.sqrt(covariances[d, d] + 1e-4)) for d in range(4)]
        expected += sum(covariances[d, e] ** 2 for d in range(4) for e in range(4) if d != e) / 4
    assert 0 < hinges.count(0.0) < 8
    expected += 25 * sum(hinges) / 4 / 2
    assert float(model.task.loss(outputs, torch.ones(7), 7).total) == pytest.approx(expected, rel=1e-12)


def test_weights_count_instances_several_times() -> None:
    """An instance of weight 2 is two of weight 1, but for Bessel's factor k / (k - 1), which knows k alone."""
    model, outputs = _outputs()
    weights = torch.tensor([2.0, 1.0, 1.0, 2.0, 1.0, 1.0, 1.0], dtype=torch.float64)
    rows = outputs.z[0].repeat_interleave(weights.long(), dim=0)

    def parts(embeddings: Tensor, at: Tensor) -> float:
        factor = len(embeddings) / (len(embeddings) - 1)
        total = 0.0
        for view in embeddings.unbind(dim=1):
            covariances = factor * np.cov(view.numpy(), rowvar=False, aweights=at.numpy(), bias=True)
            total += 25 * np.maximum(0, 1 - np.sqrt(np.diag(covariances) + 1e-4)).mean() / 2
            total += ((covariances**2).sum() - (np.diag(covariances) ** 2).sum()) / 4
        distances = 25 * ((embeddings[:, 0] - embeddings[:, 1]) ** 2).mean(dim=1).numpy()
        return float(total + np.average(distances, weights=at.numpy())) * float(at.mean())

    for embeddings, at in ((outputs.z[0], weights), (rows, torch.ones(9)), (outputs.z[0], WEIGHTS)):
        found = model.task.loss(outputs._replace(z=(embeddings,)), at, len(embeddings)).total
        assert float(found) == pytest.approx(parts(embeddings, at), rel=1e-10)


def test_losses_of_instances_have_the_loss_as_their_mean() -> None:
    model, outputs = _outputs()
    losses, batch = model.task.losses(outputs), model.task.loss(outputs, torch.ones(7), 7)
    assert float(losses.mean()) == pytest.approx(float(batch.total), rel=1e-12)
    torch.testing.assert_close(batch.losses, losses, rtol=1e-12, atol=0)
    assert len(losses.unique()) == 7


def test_a_batch_whose_weight_one_instance_has_is_finite() -> None:
    model, outputs = _outputs()
    weights = torch.zeros(7, dtype=torch.float64)
    weights[2] = 1
    weights.requires_grad_()
    total = model.task.loss(outputs, weights, 7).total
    (gradient,) = torch.autograd.grad(total, weights)
    assert bool(gradient.isfinite().all())


@pytest.mark.parametrize("field", ["invariance", "variance", "covariance"])
def test_options_that_cannot_work_are_refused(field: str) -> None:
    for value in (0.0, math.inf):
        with pytest.raises(InputError) as error:
            VICRegOptions(**{field: value})
        assert str(error.value) == f"pretext.{field}: {value} cannot work; allowed: a number above 0"
