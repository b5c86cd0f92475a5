"""Vision transformers under forward mode, against double backward; layers without a rule are refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from bdw import encoders
from bdw.config import RunConfig
from bdw.encoders import Encoder, PatchEncoder
from bdw.errors import InputError
from bdw.meta_gradient import instance_directional_derivatives, reference_weight_gradient
from bdw.training.checks import check
from bdw.weighting.gradient.forward_mode_support import require_forward_mode

LEARNING_RATE = 0.1


@pytest.mark.parametrize("name", ["small_vit", "timm:test_vit", "timm:test_vit with half its patches"])
def test_the_meta_gradient_of_a_vision_transformer_is_exact(name: str) -> None:
    """Double backward needs the math kernel, too: fused attention has no second derivative."""
    torch.manual_seed(0)
    name, _, masked = name.partition(" with ")
    encoder = encoders.build(name, 3, 16).double().train()
    assert isinstance(encoder, PatchEncoder)
    images, targets = torch.randn(2, 4, 3, 16, 16, dtype=torch.float64)
    count = encoder.grid[0] * encoder.grid[1]
    keep = torch.stack([torch.randperm(count)[: max(1, count // 2)] for _ in images]) if masked else None

    def losses(of: Tensor, params: dict[str, Tensor]) -> Tensor:
        found = functional_call(_Tokens(encoder, keep) if masked else encoder, params, (of,))
        return found.flatten(1).square().sum(dim=1).add(1).log()

    params = {("inner." if masked else "") + key: value for key, value in encoder.named_parameters()}
    weights = torch.rand(4, dtype=torch.float64)
    with sdpa_kernel(SDPBackend.MATH):
        expected = reference_weight_gradient(
            lambda at: losses(images, at), lambda at: losses(targets, at).mean(), params, weights,
            learning_rate=LEARNING_RATE,
        )  # fmt: skip
    total = (weights * losses(images, params)).sum() / 4
    gradients = torch.autograd.grad(total, list(params.values()), materialize_grads=True)
    after = {
        key: (value - LEARNING_RATE * g).detach().requires_grad_()
        for (key, value), g in zip(params.items(), gradients, strict=True)
    }
    v = torch.autograd.grad(losses(targets, after).mean(), list(after.values()), materialize_grads=True)
    derivatives = instance_directional_derivatives(
        lambda at: losses(images, at), params, dict(zip(params, v, strict=True))
    )
    found = derivatives * (-LEARNING_RATE / 4)
    assert float((found - expected).norm() / expected.norm()) <= 1e-10


class _Tokens(nn.Module):
    def __init__(self, inner: PatchEncoder, keep: Tensor | None):
        super().__init__()
        self.inner, self.keep = inner, keep

    def forward(self, images: Tensor) -> Tensor:
        return self.inner.tokens(images, self.keep)


class _Kernels(TorchFunctionMode):
    """Notes at every call of attention whether it may be fused."""

    def __init__(self) -> None:
        super().__init__()
        self.fused: list[bool] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is functional.scaled_dot_product_attention:
            self.fused.append(torch.backends.cuda.flash_sdp_enabled())
        return func(*args, **(kwargs or {}))


def test_attention_is_fused_in_every_pass_but_the_tangent_pass() -> None:
    encoder, images = encoders.build("small_vit", 3, 16).train(), torch.randn(2, 3, 16, 16)
    params = dict(encoder.named_parameters())
    direction = {key: torch.ones_like(value) for key, value in params.items()}
    with _Kernels() as seen:
        encoder(images)
    assert seen.fused == [True] * 6
    with _Kernels() as seen:
        instance_directional_derivatives(
            lambda at: functional_call(encoder, at, (images,)).square().sum(dim=1), params, direction
        )
    assert seen.fused == [False] * 6
    assert torch.backends.cuda.flash_sdp_enabled(), "given back"


class _NoRule(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.exp()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return g


class _Odd(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return _NoRule.apply(x)


def test_a_layer_without_a_rule_is_named_before_anything_is_computed() -> None:
    with torch.device("meta"):
        backbone = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.Sequential(_Odd()), nn.ReLU())
        odd, good = Encoder(backbone, 1, 5, (1, 8, 8)), encoders.build("small_cnn", 1, 8)
    with pytest.raises(InputError) as error:
        require_forward_mode(odd, "odd")
    said = str(error.value)
    assert said.startswith(
        "encoder: 'odd' cannot work with weights that are learnt from the whole model, since 2.0 (_Odd)"
    )
    assert said.endswith("direction_parameters 'head', or a weighter that does not learn")
    assert "\n" not in said
    require_forward_mode(good, "good")


@pytest.mark.parametrize(
    "name", ["resnet50", "small_vit", "timm:vit_tiny_patch16_224", "timm:swin_tiny_patch4_window7_224"]
)
def test_encoders_with_rules_pass_the_check(name: str) -> None:
    config = RunConfig().replace(encoder=name, image_size=32, crop_size=32)
    check(config)


def test_a_run_asks_for_rules_only_where_it_needs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders.SmallCNN, "feature_map", lambda self, x: _NoRule.apply(self.layers(x)))
    with pytest.raises(InputError, match="SmallCNN has no forward-mode rule"):
        check(RunConfig())
    check(RunConfig().replace(weighter="uniform"))
    check(RunConfig().replace(meta_loss="pretext", direction_parameters="head"))
