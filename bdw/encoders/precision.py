"""What the arithmetic of training is rounded to: a choice between exactness and the speed of a GPU's matrix units.

float32    exact to float32's 24 bits everywhere, on every device
tf32       factors in the products of convolutions are rounded to 11 bits, sums are float32; in the whole process,
           evaluation included; NVIDIA GPUs since Ampere. Matrix products stay exact: linear layers are a small part of
           a ResNet, and distances between images (`weighters.nearest_distances`) rely on it
bfloat16   the encoder's training, meta and tangent passes compute in bfloat16 (8 bits, float32's range, so that nothing
           has to be scaled); parameters, optimiser, features, head, losses, v and derivatives stay float32, and so
           does evaluation

torch itself lets cuDNN use TF32 unless it is told otherwise; here nothing is rounded that was not asked for.
"""

from __future__ import annotations

import torch
from torch import nn

from bdw.config import Precision
from bdw.encoders import Encoder
from bdw.errors import InputError

AMPERE = 8
"""First major compute capability of NVIDIA GPUs that computes in TF32 and bfloat16."""


def require_supported(precision: Precision, device: torch.device) -> None:
    """`InputError` if that device cannot compute so. CPUs without bfloat16 instructions can, if slowly."""
    if precision == "tf32" and device.type != "cuda":
        raise InputError(f"precision: 'tf32' is arithmetic of NVIDIA GPUs, not of {device}; allowed: float32, bfloat16")
    if precision != "float32" and device.type == "cuda" and torch.cuda.get_device_capability(device)[0] < AMPERE:
        raise InputError(
            f"precision: {precision!r} needs an Ampere GPU or a younger one, not a "
            f"{torch.cuda.get_device_name(device)}; allowed: float32"
        )


def compute_in(precision: Precision, model: nn.Module) -> None:
    """Let the encoders in that model (its own, a teacher's) train so and, as far as TF32 goes, this process compute so
    on GPUs from now on."""
    for module in model.modules():
        if isinstance(module, Encoder):
            module.autocast = torch.bfloat16 if precision == "bfloat16" else None
    for whole in (torch.backends, torch.backends.cudnn):
        if hasattr(whole, "fp32_precision"):  # from torch 2.9 on; what is set there outdoes the flags below
            setattr(whole, "fp32_precision", "none")  # noqa: B010 (mypy knows no such attribute of the module)
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = False
