"""timm's models by name, trained from random weights or from timm's own (Wightman, "PyTorch image models")."""

from __future__ import annotations

import difflib
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from bdw.encoders.base import Encoder, Normalisation
from bdw.encoders.patches import PatchEncoder
from bdw.encoders.timm_library import timm_library
from bdw.errors import InputError

PREFIX = "timm:"


def require_known(name: str, field: str = "encoder") -> None:
    """`InputError` with the nearest names unless timm has a model of that name, written `timm:NAME` or
    `timm:NAME.TAG`."""
    timm, wanted = timm_library(), name.removeprefix(PREFIX)
    architecture, _, tag = wanted.partition(".")
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), n=3)
    elif tag and wanted not in (known := timm.list_pretrained(f"{architecture}.*")):
        near = known[:3]
    else:
        return
    hint = f" (did you mean {', '.join(PREFIX + each for each in near)}?)" if near else ""
    raise InputError(f"{field}: {name!r} is not known{hint}; allowed: timm: and a name of timm.list_models()")


class TimmEncoder(Encoder):
    """A model of timm without its classifier."""

    calls_its_layers = False

    def averaged(self, output: Tensor) -> Tensor:
        """As timm lays outputs out: (B, d, h, w) or (B, h, w, d) maps, (B, n, d) tokens."""
        if output.dim() == 3:
            return output.mean(dim=1)
        return output.mean(dim=(1, 2)) if output.dim() == 4 and self._is_channels_last else super().averaged(output)

    def _map(self, images: Tensor) -> Tensor:
        found: Tensor = self.backbone.forward_features(images)  # type: ignore[operator]
        if found.dim() != 4:
            self.refuse("has no map of positions", "a convolutional net, or small_vit or a timm:vit_...")
        return found.permute(0, 3, 1, 2) if self._is_channels_last else found

    @property
    def _is_channels_last(self) -> bool:
        return getattr(self.backbone, "output_fmt", "NCHW") == "NHWC"


def timm_model(name: str, channels: int, size: int) -> Encoder:
    """The model `timm:NAME` for images (channels, size, size), without classifier, dropout and stochastic depth.

    Whatever is drawn within a net would make the tangent pass another function than the training pass. Models with
    a fixed input size are built for `size`. Grey images are repeated to three channels. Raises `InputError` for a name
    or a size that timm does not have.
    """
    require_known(name)
    timm, wanted = timm_library(), name.removeprefix(PREFIX)
    if channels not in (1, 3):
        raise InputError(f"encoder: timm's models take 1 or 3 channels; the source has {channels}")
    config = timm.models.get_pretrained_cfg(wanted)
    settings = {"num_classes": 0, "drop_rate": 0.0, "drop_path_rate": 0.0}
    sizes = ({"img_size": size}, {}) if config is None or config.input_size[-1] != size else ({},)
    backbone = _first_that_works(timm, wanted, [{**settings, **own} for own in sizes], size)
    _require_whole_patches(backbone, name, size)
    _draw_nothing(backbone)
    kind = PatchEncoder if isinstance(backbone, timm.models.VisionTransformer) else TimmEncoder
    return kind(backbone, 3, _features(backbone), (channels, size, size), normalisation_of(name))


def _first_that_works(timm: ModuleType, name: str, settings: list[dict[str, object]], size: int) -> nn.Module:
    """Not every model has every setting; one that none of them makes is refused with timm's reason."""
    reason = ""
    for tried in settings:
        for without in ((), ("drop_path_rate",), ("drop_path_rate", "drop_rate")):
            try:
                made: nn.Module = timm.create_model(name, **{k: v for k, v in tried.items() if k not in without})
            except (TypeError, AssertionError, ValueError, RuntimeError, NotImplementedError) as error:
                reason = reason or str(error).partition("\n")[0]
            else:
                return made
    raise InputError(
        f"encoder: {PREFIX + name!r} cannot be made for {size} x {size} pixels ({reason}); allowed: its own"
    )


def _features(backbone: nn.Module) -> int:
    number: Any = backbone.head_hidden_size
    return int(number)


def _require_whole_patches(backbone: nn.Module, name: str, size: int) -> None:
    """timm would cut off what is left beside the last patch."""
    side = getattr(getattr(backbone, "patch_embed", None), "patch_size", (1,))[0]
    if size % side:
        raise InputError(
            f"crop_size: {size} cannot work with encoder {name!r}, which cuts images into patches of {side} pixels; "
            f"allowed: multiples of {side}"
        )


def _draw_nothing(backbone: nn.Module) -> None:
    for module in backbone.modules():
        if isinstance(module, torch.nn.modules.dropout._DropoutNd):
            module.p = 0.0
        if isinstance(getattr(module, "drop_prob", None), float):
            module.drop_prob = 0.0  # type: ignore[assignment]


def normalisation_of(name: str) -> Normalisation:
    """What timm's weights of that name, `timm:NAME` or `timm:NAME.TAG`, want pixels to be; one number for all channels
    where it is the same."""
    config = timm_library().models.get_pretrained_cfg(name.removeprefix(PREFIX))
    if config is None:
        return Normalisation()
    given = (tuple(config.mean), tuple(config.std))
    return Normalisation(*(values[:1] if len(set(values)) == 1 else values for values in given))
