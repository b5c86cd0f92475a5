"""Both ways to the norm of a product give the same value, gradient, tangent and mixed derivative."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from bdw.pretext.product_norm import squared_norm_of_product
from bdw.weighting.gradient.forward_mode import weight_derivatives

SHAPES = [(3, 16, 16), (3, 7, 12), (40, 5, 5), (8, 16, 16), (9, 2, 30)]


def _drawn(rows: int, d: int, e: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(rows, n, dtype=torch.float64, generator=generator) for n in (d, e))  # type: ignore


def _plain(left: Tensor, right: Tensor) -> Tensor:
    return (left.T @ right).square().sum()


@pytest.mark.parametrize("shape", SHAPES)
def test_value_and_derivatives_are_those_of_the_product(shape: tuple[int, int, int]) -> None:
    both = _drawn(*shape)
    leaves = [rows.clone().requires_grad_() for rows in both]
    found, expected = squared_norm_of_product(*leaves), _plain(*leaves)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    first, wanted = torch.autograd.grad(found, leaves), torch.autograd.grad(expected, leaves)
    torch.testing.assert_close(first, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_weights_derivative_along_a_tangent_is_that_of_the_product(shape: tuple[int, int, int]) -> None:
    """Reverse over forward mode, as weights learn."""
    pairs = [(rows, rows.flip(0)) for rows in _drawn(*shape)]
    weights = torch.linspace(0.2, 1.5, shape[0], dtype=torch.float64)
    found, expected = (
        weight_derivatives(lambda z, w, norm=norm: norm(w[:, None] * z[0], z[1]), pairs, weights)  # type: ignore
        for norm in (squared_norm_of_product, _plain)
    )
    assert float(expected.abs().min()) > 0
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


class _Largest(TorchDispatchMode):
    """The most numbers that any tensor made within has."""

    made = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.made = max(self.made, result.numel())
        return result


@pytest.mark.parametrize(("shape", "most"), [((3, 16, 16), 48), ((40, 5, 5), 200)])
def test_the_larger_matrix_is_never_made(shape: tuple[int, int, int], most: int) -> None:
    """Nothing is larger than the factors, whose transposes are views of them."""
    both = _drawn(*shape)
    with _Largest() as seen:
        squared_norm_of_product(*both)
    assert seen.made <= most
