"""The exact derivative of AdamW's update, against automatic differentiation and torch's own step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from benchmarks.preconditioner import Arguments, exact_factors, main


def test_the_exact_factors_are_the_derivative_of_the_update() -> None:
    torch.manual_seed(0)
    rate, beta1, beta2, eps = 0.1, 0.9, 0.99, 1e-3
    parameter = nn.Parameter(torch.randn(7, dtype=torch.float64))
    optimiser = torch.optim.AdamW([parameter], lr=rate, betas=(beta1, beta2), eps=eps)
    first, second = torch.zeros(2, 7, dtype=torch.float64)
    for step in range(1, 5):
        before, gradient = parameter.detach().clone(), torch.randn(7, dtype=torch.float64)
        gradient[0] = 0.0
        parameter.grad = gradient.clone()
        optimiser.step()

        def updated(g: Tensor, m: Tensor = first, s: Tensor = second, n: int = step, at: Tensor = before) -> Tensor:
            mean = (beta1 * m + (1 - beta1) * g) / (1 - beta1**n)
            square = (beta2 * s + (1 - beta2) * g.square()) / (1 - beta2**n)
            return at * (1 - rate * 0.01) - rate * mean / ((square + 1e-60).sqrt() + eps)

        torch.testing.assert_close(parameter.detach(), updated(gradient), rtol=1e-10, atol=1e-12)
        (jacobian,) = torch.autograd.functional.jacobian(updated, (gradient,))
        factors = exact_factors(optimiser, {"p": parameter}, {"p": gradient})["p"]
        torch.testing.assert_close(torch.diag(-rate * factors), jacobian, rtol=1e-8, atol=1e-12)
        first, second = beta1 * first + (1 - beta1) * gradient, beta2 * second + (1 - beta2) * gradient.square()


def test_after_some_steps_the_divisors_hardly_depend_on_one_gradient(capsys: pytest.CaptureFixture[str]) -> None:
    main(Arguments(steps=(1, 30), seeds=(0,)))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["step", "1", "30"]
    _, cosine, least, norms = map(float, lines[2].split())
    assert 0.99 < least <= cosine <= 1
    assert 1 <= norms < 1.2
