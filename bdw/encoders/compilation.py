"""torch.compile of an encoder: fewer, larger kernels for the training and the meta pass, after a minute of compiling.

The tangent pass stays eager. Code compiled for plain tensors knows no tangents (torch 2.15 falls back to eager code,
older versions lost them without a word: pytorch/pytorch issue 187284). `torch.func.jvp` can be compiled as a whole, and
is right to rounding, but in torch 2.15 only for one batch size at a time and not under autocast, and on a CPU it is no
faster than `ForwardModeRules`; `benchmarks.gpu` measures it. Evaluation stays eager, too: it passes once over other
batch sizes, which is not worth a compiler's time.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bdw.encoders import Encoder
from bdw.errors import InputError


def require_compiler(device: torch.device) -> None:
    """`InputError` if torch.compile does not work for that device on this machine; some seconds.

    Tried on a function of one line, since what can be missing depends on torch, the device and the system.
    """
    try:
        torch.compile(_tried, options={"force_disable_caches": True})(torch.ones(8, device=device))
    except Exception as error:  # torch raises a dozen types here, some of its own, some of the compiler's
        reason = str(error).partition("\n")[0]
        needed = "Triton and a C compiler" if device.type == "cuda" else "a C++ compiler such as g++"
        raise InputError(
            f"compile: torch.compile does not work for the {device.type} here ({reason}); allowed: --no-compile, or "
            f"install {needed}"
        ) from error


def compile_encoder(encoder: Encoder, *, cuda_graphs: bool = False) -> None:
    """From now on run the backbone as compiled code wherever a backward pass can follow.

    In place: names in its state and whatever wraps it stay as they are, and copies of the encoder are eager again. The
    first call compiles for its batch size, the first of another size for all sizes, since batches differ by an image
    and shrink with the source. With `cuda_graphs` kernels are launched all at once, from a recording for each batch
    size (GPUs only; elsewhere the same as without).
    """
    encoder.backbone.compile(mode="reduce-overhead" if cuda_graphs else None)
    encoder.is_compiled = True


def _tried(x: Tensor) -> Tensor:
    return x.sin() + 1
