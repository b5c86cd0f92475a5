"""SwAV against the paper's equations, and its codes against an exact solver of the transport problem."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor
from torch.nn import functional

from bdw.config.pretext_options.swav import SwAVOptions
from bdw.errors import InputError
from bdw.meta_gradient import instance_directional_derivatives
from bdw.pretext import Outputs, PretextModel
from bdw.pretext.prototypes import Prototypes
from bdw.pretext.sinkhorn import balanced_codes
from tests.pretext.cases import CASES
from tests.pretext.models import views_of


def _scores(count: int = 6, prototypes: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, prototypes, dtype=torch.float64, generator=generator) * 2 - 1


def _outputs(count: int = 6) -> tuple[PretextModel, Outputs]:
    model = CASES["swav"].model()
    with torch.no_grad():
        return model, model(views_of(model, CASES["swav"].images(count)))


@pytest.mark.parametrize("iterations", [1, 3])
def test_codes_are_the_papers_iterations(iterations: int) -> None:
    """Rows and columns of exp(scores / epsilon) are divided in turn, as in the paper's appendix A."""
    scores = _scores().numpy()
    table = np.exp(scores / 0.05).T
    table /= table.sum()
    for _ in range(iterations):
        table /= table.sum(axis=1, keepdims=True) * 4
        table /= table.sum(axis=0, keepdims=True) * 6
    found = balanced_codes(_scores(), 0.05, iterations)
    np.testing.assert_allclose(found.numpy(), (table * 6).T, rtol=1e-10, atol=1e-14)


def test_many_iterations_balance_images_and_prototypes() -> None:
    found = balanced_codes(_scores(), 0.5, 200)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(6, dtype=torch.float64), rtol=1e-12, atol=0)
    torch.testing.assert_close(found.sum(dim=0), torch.full((4,), 1.5, dtype=torch.float64), rtol=1e-10, atol=0)


def test_without_entropy_codes_solve_the_transport_problem() -> None:
    """As many prototypes as images: the best assignment, by scipy."""
    scores = _scores(5, 5)
    rows, columns = scipy.optimize.linear_sum_assignment(scores.numpy(), maximize=True)
    found = balanced_codes(scores, 0.005, 2000)
    assert found.argmax(dim=1).tolist() == columns[np.argsort(rows)].tolist()
    assert float(found.amax(dim=1).min()) > 0.9


def test_large_scores_do_not_overflow() -> None:
    found = balanced_codes(_scores().float(), 1e-3, 3)
    assert bool(found.isfinite().all())


def test_losses_are_equations_1_and_2_view_by_view() -> None:
    model, outputs = _outputs()
    (cosines,), (codes, _) = outputs.z, outputs.given
    found = model.task.losses(outputs)
    for i in range(6):
        expected = 0.0
        for large in range(2):
            for other in range(4):
                if other != large:
                    sorts = [math.exp(float(cosines[i, other, p]) / 0.1) for p in range(20)]
                    for p in range(20):
                        expected -= float(codes[i, large, p]) * math.log(sorts[p] / sum(sorts))
        assert float(found[i]) == pytest.approx(expected / 6, rel=1e-10)


def test_codes_are_balanced_for_each_large_crop_by_itself() -> None:
    _, outputs = _outputs()
    for view in range(2):
        expected = balanced_codes(outputs.z[0][:, view], 0.05, 3)
        torch.testing.assert_close(outputs.given[0][:, view], expected, rtol=1e-12, atol=1e-14)


def test_a_full_queue_takes_part_in_the_balance_and_forgets_the_oldest() -> None:
    model, outputs = _outputs()
    task, entering = model.task, outputs.given[1]
    lengths = entering.norm(dim=2)
    torch.testing.assert_close(lengths, torch.ones_like(lengths), rtol=1e-12, atol=1e-12)
    task.after_step(model.encoder, outputs, 0.1)
    assert torch.equal(task.queue[:6], entering)
    with torch.no_grad():
        again = model(views_of(model, CASES["swav"].images(6)))
    assert torch.equal(again.given[0], outputs.given[0]), "it is not full"
    task.after_step(model.encoder, outputs, 0.2)
    # Places 6 to 9, then 0 and 1 again.
    assert torch.equal(task.queue, torch.cat([entering[4:6], entering[2:6], entering[:4]]))
    with torch.no_grad():
        balanced = model(views_of(model, CASES["swav"].images(6))).given[0]
        everything = torch.cat([outputs.z[0][:, :2], task.prototypes(task.queue)])
    for view in range(2):
        expected = balanced_codes(everything[:, view], 0.05, 3)[:6]
        torch.testing.assert_close(balanced[:, view], expected, rtol=1e-10, atol=1e-12)


def test_the_queue_begins_when_the_budget_says() -> None:
    model, outputs = _outputs()
    task = model.task
    task.options = SwAVOptions(queue=10, queue_begins=0.5)
    task.after_step(model.encoder, outputs, 0.4)
    assert int(task.entered) == 0
    task.after_step(model.encoder, outputs, 0.5)
    assert int(task.entered) == 6


def test_prototypes_rest_for_their_share_of_the_budget() -> None:
    """Neither a gradient nor a tangent reaches them; everything else of the step is as it would be."""
    options = dataclasses.replace(CASES["swav"].model().task.options, prototypes_rest=0.3)
    resting, moving = dataclasses.replace(CASES["swav"], options=options).model(), CASES["swav"].model()
    resting.load_state_dict(moving.state_dict(), strict=False)
    gradients = {}
    for name, model in (("resting", resting), ("moving", moving)):
        outputs = model(views_of(model, CASES["swav"].images(6)))
        model.task.losses(outputs).mean().backward()
        gradients[name] = {key: value.grad for key, value in model.named_parameters()}
    for key, gradient in gradients["moving"].items():
        found = gradients["resting"][key]
        if "prototypes" in key:
            assert float(gradient.abs().max()) > 0
            assert torch.equal(found, torch.zeros_like(found))
        else:
            assert torch.equal(found, gradient)
    task, outputs = resting.task, resting(views_of(resting, CASES["swav"].images(6)))
    task.after_step(resting.encoder, outputs, 0.29)
    assert float(task.moves) == 0
    task.after_step(resting.encoder, outputs, 0.3)
    resting.zero_grad()
    resting.task.losses(resting(views_of(resting, CASES["swav"].images(6)))).mean().backward()
    assert float(task.prototypes.weight.grad.abs().max()) > 0
    assert "task.moves" in resting.state_dict()
    assert "task.moves" not in moving.state_dict(), "checkpoints of earlier versions lack it"


@pytest.mark.parametrize("moves", [0.0, 1.0])
def test_what_reaches_resting_prototypes_is_nothing_in_forward_mode_too(moves: float) -> None:
    prototypes = Prototypes(4, 3).double()
    weight, direction = torch.rand(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    embeddings = torch.rand(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def losses(parameters: Mapping[str, Tensor]) -> Tensor:
        return torch.func.functional_call(prototypes, dict(parameters), (embeddings, torch.tensor(moves))).sum(dim=1)

    found = instance_directional_derivatives(losses, {"weight": weight}, {"weight": direction})
    step = 1e-6
    ends = [functional.normalize(embeddings) @ functional.normalize(weight + s * direction).T for s in (step, -step)]
    expected = moves * (ends[0] - ends[1]).sum(dim=1) / (2 * step)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("temperature", 0.0, "a number above 0"),
        ("epsilon", math.inf, "a number above 0"),
        ("iterations", 0, "at least 1"),
        ("prototypes", 1, "at least 2"),
        ("queue", -1, "at least 0"),
        ("queue_begins", 2.0, "0 to 1"),
        ("prototypes_rest", -0.1, "0 to 1"),
    ],
)
def test_options_that_cannot_work_are_refused(field: str, value: float, allowed: str) -> None:
    with pytest.raises(InputError) as error:
        SwAVOptions(**{field: value})
    assert str(error.value) == f"pretext.{field}: {value} cannot work; allowed: {allowed}"
