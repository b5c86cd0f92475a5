"""Norms for small batches on every worker: group norm, and batch norm over all workers."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn

from bdw import encoders
from bdw.encoders.norm import group_norm
from bdw.errors import InputError
from bdw.parallel import collectives
from bdw.weighting.gradient.forward_mode import tangents_along
from tests.workers import on_workers


@pytest.mark.parametrize("name", ["resnet18", "small_cnn", "timm:resnet18", "timm:efficientnet_b0"])
def test_with_group_norm_no_image_depends_on_another(name: str) -> None:
    encoder = encoders.build(name, 3, 32, "group").double().train()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in encoder.modules())
    images = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(encoder(images)[:1], encoder(images[:1]), rtol=1e-9, atol=1e-9)


def test_groups_hold_at_least_four_channels_and_are_at_most_32() -> None:
    for channels in range(1, 2049):
        groups = group_norm(channels).num_groups
        assert groups <= 32
        assert channels % groups == 0
        assert groups == 1 or channels // groups >= 4
    assert group_norm(64).num_groups == 16
    assert group_norm(512).num_groups == 32


def test_an_activation_behind_a_norm_stays() -> None:
    """timm fuses them; with the same parameters, zero maps come out as the activation of the bias."""
    encoder = encoders.build("timm:efficientnet_b0", 3, 32, "group")
    norm = encoder.backbone.get_submodule("bn1")
    nn.init.constant_(norm.bias, -2.0)  # type: ignore[arg-type]
    maps = norm(torch.zeros(1, 32, 4, 4))
    torch.testing.assert_close(maps, nn.functional.silu(torch.full_like(maps, -2.0)))
    assert [*encoder.backbone.get_submodule("bn1").state_dict()] == ["weight", "bias"]
    assert {n for n, _ in encoder.backbone.named_parameters()} == {
        n for n, _ in timm.create_model("efficientnet_b0", num_classes=0).named_parameters()
    }


@pytest.mark.parametrize("norm", ["group", "sync"])
def test_an_encoder_without_batch_norm_has_nothing_to_change(norm: str) -> None:
    with pytest.raises(InputError, match=f"norm: '{norm}' cannot work with encoder 'mlp', which has no batch norm"):
        encoders.build("mlp", 1, 8, norm)  # type: ignore[arg-type]


def _seen(begin: int, end: int) -> dict[str, Tensor]:
    """Features, their tangents, gradients and running statistics of one pass on that part of eight images."""
    torch.manual_seed(0)
    encoder = encoders.build("small_resnet", 1, 16, "sync").double().train()
    images = 2 * torch.randn(8, 1, 16, 16, dtype=torch.float64) + 1
    directions = {name: torch.randn_like(value) for name, value in encoder.named_parameters()}
    factors = torch.randn(8, encoder.feature_dim, dtype=torch.float64)[begin:end]
    twin = copy.deepcopy(encoder)
    with encoders.synchronised():
        features = encoder(images[begin:end])
        (features * factors).sum().backward()
        with encoders.untouched_statistics(twin):

            def at(params: dict[str, Tensor]) -> tuple[Tensor]:
                return (torch.func.functional_call(twin, params, (images[begin:end],)),)

            ((_, tangents),) = tangents_along(directions, at, dict(twin.named_parameters()))
    assert tangents is not None
    gradients = torch.cat(
        [parameter.grad.flatten() for parameter in encoder.parameters() if parameter.grad is not None]
    )
    return {
        "features": features.detach(),
        "tangents": tangents,
        "gradients": gradients,
        "statistics": torch.cat([b.flatten().double() for b in encoder.buffers()]),
        "twin": torch.cat([b.flatten().double() for b in twin.buffers()]),
    }


def _my_part() -> dict[str, Tensor]:
    begin, end = ((0, 5), (5, 8))[collectives.rank()]
    seen = _seen(begin, end)
    # The steps divide by the workers; here the sum is compared.
    return seen | {"gradients": collectives.total(seen["gradients"])}


def test_two_workers_normalise_as_one_in_values_gradients_and_tangents(tmp_path: Path) -> None:
    """Against torch's own batch norm on all eight images; the workers' parts differ in size."""
    whole = _seen(0, 8)
    one, other = on_workers(2, tmp_path / "workers", _my_part)
    for name in ("features", "tangents"):
        torch.testing.assert_close(torch.cat([one[name], other[name]]), whole[name], rtol=1e-9, atol=1e-10)
    for name in ("gradients", "statistics"):
        for part in (one, other):
            torch.testing.assert_close(part[name], whole[name], rtol=1e-9, atol=1e-10)
    assert not torch.equal(whole["statistics"], whole["twin"])
    for seen in (whole, one, other):
        fresh = encoders.build("small_resnet", 1, 16).double()
        assert torch.equal(seen["twin"], torch.cat([b.flatten().double() for b in fresh.buffers()])), "left alone"


def _alone() -> Tensor:
    """A pass that only the first worker makes must not wait for the others."""
    encoder = encoders.build("small_cnn", 1, 16, "sync").train()
    return encoder(torch.randn(4, 1, 16, 16)).detach() if collectives.rank() == 0 else torch.zeros(1)


def test_outside_a_common_step_no_worker_waits(tmp_path: Path) -> None:
    first, _ = on_workers(2, tmp_path / "workers", _alone)
    assert first.shape == (4, 64)
