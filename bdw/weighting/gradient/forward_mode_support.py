"""Whether an encoder can be differentiated in forward mode, known before a run computes anything."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bdw.encoders import Encoder, untouched_statistics
from bdw.errors import InputError
from bdw.weighting.gradient.forward_mode import tangents_along


def require_forward_mode(encoder: Encoder, name: str) -> None:
    """`InputError` that names the first layer without a forward-mode rule, and what to choose instead.

    The encoder lies on the device `meta`, so that nothing is computed. `name` is the config's.
    """
    params = {key: value.detach() for key, value in encoder.named_parameters()}
    images = torch.empty(2, *encoder.image_shape, device="meta")

    def features(at: dict[str, Tensor]) -> tuple[Tensor]:
        found: Tensor = functional_call(encoder, at, (images,))
        return (found,)

    with _Entered(encoder.backbone) as entered, untouched_statistics(encoder):
        try:
            ((_, tangent),) = tangents_along({key: torch.empty_like(v) for key, v in params.items()}, features, params)
        except (NotImplementedError, RuntimeError) as error:
            reason = f"{entered.innermost} has no forward-mode rule ({str(error).partition(chr(10))[0][:120]})"
        else:
            if tangent is not None:
                return
            reason = "its features have no derivative"
    raise InputError(
        f"encoder: {name!r} cannot work with weights that are learnt from the whole model, since {reason}; allowed: "
        "another encoder, or meta_loss 'pretext' with direction_parameters 'head', or a weighter that does not learn"
    )


class _Entered:
    """A context manager that knows which module's forward pass was entered last and not left."""

    def __init__(self, model: nn.Module):
        self._model = model
        self._open: list[str] = []
        self._hooks: list[Any] = []

    @property
    def innermost(self) -> str:
        """Name and class."""
        return self._open[-1] if self._open else type(self._model).__name__

    def __enter__(self) -> _Entered:
        for name, module in self._model.named_modules():
            label = f"{name} ({type(module).__name__})" if name else type(module).__name__

            def enter(_: nn.Module, __: Any, label: str = label) -> None:
                self._open.append(label)

            def leave(_: nn.Module, __: Any, ___: Any) -> None:
                self._open.pop()

            self._hooks += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()
