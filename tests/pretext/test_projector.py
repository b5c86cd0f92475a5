"""The projector's layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bdw.pretext.projector import projector


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("normalised_output", [False, True])
def test_layers_have_biases_where_no_batch_norm_follows(batch_norm: bool, normalised_output: bool) -> None:
    made = projector((7, 5, 4, 3), batch_norm=batch_norm, normalised_output=normalised_output)
    linear = [layer for layer in made if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [(7, 5), (5, 4), (4, 3)]
    assert [layer.bias is None for layer in linear] == [batch_norm, batch_norm, normalised_output]
    assert sum(isinstance(layer, nn.ReLU) for layer in made) == 2
    norms = [layer for layer in made if isinstance(layer, nn.BatchNorm1d)]
    assert [norm.affine for norm in norms] == [True] * (2 * batch_norm) + [False] * normalised_output


def test_a_normalised_output_has_mean_0_and_variance_1() -> None:
    torch.manual_seed(0)
    made = projector((6, 5, 3), batch_norm=True, normalised_output=True).double()
    found = made(torch.randn(50, 6, dtype=torch.float64))
    torch.testing.assert_close(found.mean(dim=0), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(found.var(dim=0, correction=0), torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-2)


def test_one_layer_is_a_linear_map() -> None:
    made = projector((4, 2), batch_norm=True)
    inputs = torch.randn(3, 4)
    torch.testing.assert_close(made(inputs), inputs @ made[0].weight.T + made[0].bias)
