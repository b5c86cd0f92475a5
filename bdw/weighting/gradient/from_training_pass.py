"""All inner products <v, grad L_i(theta)> from what the training pass leaves behind, where instances do not interact.

A layer that is linear in its parameters p and put out z = p . a adds <dL_i/dz, v_p . a_i> to the inner product of
instance i. The training pass has computed both factors already: the inputs a in its forward pass and, in its backward
pass, dL/dz, whose rows of instance i are w_i / k times dL_i/dz as long as no instance depends on another. What is left
is one product with v a layer: a third of a forward-mode pass, and no second look at the images. With batch norm,
instances do depend on each other, and `meta_gradient.instance_directional_derivatives` is the way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

SMALLEST_WEIGHT = 1e-20
"""Below it, gradients that carry a weight as a factor leave float32's normal numbers, and nothing can divide it out."""

Apply = Callable[[nn.Module, Tensor, Tensor, Tensor | None], Tensor]


def _linear(layer: nn.Module, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    assert isinstance(layer, nn.Linear)
    return functional.linear(inputs, weight, bias)


def _group_norm(layer: nn.Module, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    assert isinstance(layer, nn.GroupNorm)
    return functional.group_norm(inputs, layer.num_groups, weight, bias, layer.eps)


def _conv(layer: nn.Module, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    assert isinstance(layer, nn.Conv2d)
    moved: Tensor = layer._conv_forward(inputs, weight, bias)
    return moved


_LAYERS: dict[type[nn.Module], Apply] = {nn.Linear: _linear, nn.Conv2d: _conv, nn.GroupNorm: _group_norm}


class LayerTangents:
    """A context manager around one training pass of a model (forward and backward), and the inner products after it."""

    def __init__(self, layers: Mapping[str, nn.Module]):
        self._layers = layers
        self._hooks: list[RemovableHandle] = []
        self._inputs: list[tuple[str, Tensor]] = []
        self._gradients: dict[int, Tensor] = {}

    def __enter__(self) -> Self:
        for name, layer in self._layers.items():

            def record(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, name: str = name) -> None:
                number = len(self._inputs)
                self._inputs.append((name, inputs[0].detach()))
                # Registered before anything works in place on the output, so it is the gradient of what was put out.
                self._hooks.append(output.register_hook(lambda g: self._gradients.__setitem__(number, g)))

            self._hooks.append(layer.register_forward_hook(record))
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def derivatives(self, direction: Mapping[str, Tensor], factors: Tensor) -> Tensor:
        """<v, grad L_i(theta)> (m,).

        Args:
            direction: v by the model's parameter names; a missing name stands for a zero block.
            factors: (m,) what every L_i had been multiplied by in the loss that was differentiated, none of them 0.
        """
        total = torch.zeros_like(factors)
        with torch.no_grad():
            for number, (name, inputs) in enumerate(self._inputs):
                weight, bias = direction.get(f"{name}.weight"), direction.get(f"{name}.bias")
                if (weight is None and bias is None) or number not in self._gradients:
                    continue
                layer = self._layers[name]
                weight = torch.zeros_like(layer.weight) if weight is None else weight  # type: ignore[arg-type]
                # As precise as v, where the training pass computed in less.
                moved = _LAYERS[type(layer)](layer, inputs.to(weight.dtype), weight, bias)
                # An instance's views are consecutive rows.
                total += (moved * self._gradients[number]).reshape(len(factors), -1).sum(dim=1)
        return total / factors


def layers_of(model: nn.Module, name: str = "") -> dict[str, nn.Module] | None:
    """The layers that own trained parameters, by name, where the model is a part of that name in a larger one.

    None if there are others than `LayerTangents` knows, or if batch norm, with parameters or without, lets instances
    depend on each other.
    """
    if has_batch_norm(model):
        return None
    modules = model.named_modules(prefix=name)
    owners = {path: module for path, module in modules if any(p.requires_grad for p in module.parameters(False))}
    return owners if all(type(module) in _LAYERS for module in owners.values()) else None


def has_batch_norm(model: nn.Module) -> bool:
    """Whether a layer lets the instances of a batch depend on each other."""
    return any(isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in model.modules())
