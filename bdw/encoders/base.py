"""What every encoder is: images (B, c, h, w) -> features (B, feature_dim) of the final pooled layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, NoReturn

import torch
from torch import Tensor, nn

from bdw.errors import InputError


class Normalisation(NamedTuple):
    """What a backbone wants pixels to be: (value / 255 - mean) / deviation, by channel or for all of them."""

    mean: tuple[float, ...] = (0.5,)
    deviation: tuple[float, ...] = (0.5,)


FROM_MINUS_ONE_TO_ONE = Normalisation()
"""What images are when they come to an encoder."""


class Encoder(nn.Module):
    """A backbone and what its users must know: input channels, feature dimension, and the images it was made for.

    `backbone` alone is what a user takes home; for the ResNets it is torchvision's class with `fc` removed.
    `image_shape` is (c, s, s) of the source's images as the pretext task sees them. Images come in [-1, 1]; a backbone
    with another `normalisation` gets what it wants.
    """

    autocast: torch.dtype | None = None
    """What the backbone computes in while it is trained (`bdw.encoders.precision`); None for what its parameters
    are."""
    calls_its_layers = True
    """Whether every parameter acts through its own layer's forward pass and through nothing else. Nets of other
    libraries may use a layer's weights by themselves, so that hooks on layers do not see all that they do."""
    is_compiled = False
    """Whether passes that a backward pass can follow are compiled code (`bdw.encoders.compilation`), which hooks and
    function modes do not see into."""

    def __init__(
        self,
        backbone: nn.Module,
        channels: int,
        feature_dim: int,
        image_shape: tuple[int, int, int],
        normalisation: Normalisation = FROM_MINUS_ONE_TO_ONE,
    ):
        super().__init__()
        self.backbone = backbone
        self.channels = channels
        self.feature_dim = feature_dim
        self.image_shape = image_shape
        self.normalisation = normalisation
        self._factor: Tensor
        self._offset: Tensor
        self._is_scaled = normalisation != FROM_MINUS_ONE_TO_ONE
        if self._is_scaled:
            # (x + 1) / 2 is the pixel as a share of 255. Not a part of the state: the name of the encoder tells them.
            mean, deviation = (torch.tensor(values)[:, None, None] for values in normalisation)
            self.register_buffer("_factor", 0.5 / deviation, persistent=False)
            self.register_buffer("_offset", (0.5 - mean) / deviation, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, feature_dim); grey images are repeated where the backbone wants colour."""
        # The method itself is never compiled, the call may be.
        plain = self.is_compiled and not torch.is_grad_enabled()
        return self._run(self.backbone.forward if plain else self.backbone, images)

    def feature_map(self, images: Tensor) -> Tensor:
        """The last map before pooling, (B, d, h, w). `InputError` for an encoder that has none."""
        return self._run(self._map, images)

    def tokens(self, images: Tensor, keep: Tensor | None = None) -> Tensor:
        """Of encoders that cut images into patches: one row a patch (`PatchEncoder`). `InputError` for any other."""
        del images, keep
        self.refuse("does not cut images into patches", "small_vit, or a timm:vit_...")

    def averaged(self, output: Tensor) -> Tensor:
        """What any layer of the backbone puts out, (B, ...), averaged over positions: (B, d)."""
        return output.flatten(2).mean(dim=2) if output.dim() > 2 else output

    def layers(self) -> tuple[str, ...]:
        """Names of the backbone's stages and blocks, from the first to the last: what an evaluation may measure."""
        found = []
        for name, stage in self.backbone.named_children():
            if any(True for _ in stage.parameters()):
                found.append(name)
                if isinstance(stage, nn.Sequential | nn.ModuleList):
                    found += [f"{name}.{number}" for number in range(len(stage))]
        return tuple(found)

    def refuse(self, why: str, allowed: str) -> NoReturn:
        """`InputError` for a task that wants what this encoder has not."""
        raise InputError(f"encoder: {type(self.backbone).__name__} {why}; allowed: {allowed}")

    def _map(self, images: Tensor) -> Tensor:
        found: Callable[[Tensor], Tensor] | None = getattr(self.backbone, "feature_map", None)
        if found is None:
            self.refuse("has no map of positions", "a convolutional net or a vision transformer")
        return found(images)

    def _run(self, function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """The function of images as the backbone wants them, in the arithmetic of training while training."""
        if images.shape[1] == 1 and self.channels == 3:
            images = images.expand(-1, 3, -1, -1)
        if self._is_scaled:
            images = torch.addcmul(self._offset, images, self._factor)
        if self.autocast is None or not self.training:
            return function(images)
        with torch.autocast(images.device.type, self.autocast):
            rounded = function(images)
        return rounded.float()
