"""An encoder as an ONNX graph, for whoever runs it without PyTorch (the extra `onnx`)."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bdw.data.augment import to_float
from bdw.encoders import Encoder
from bdw.errors import InputError
from bdw.storage.atomic_write import replacing

LARGEST_DIFFERENCE = 1e-4
"""Between the graph's features and the encoder's, over the largest feature; with more the file is not written."""


def write_onnx(path: Path, encoder: Encoder, size: int) -> float:
    """Write the graph, and return the largest difference between its features and the encoder's, relative to the
    largest of them.

    Input `images`: uint8 (B, channels, size, size), crops as stored; the graph scales them itself. Output `features`:
    float32 (B, feature_dim). B is free. The graph is run once by onnxruntime before the file gets its name. Raises
    `InputError` where the extra is not installed, `RuntimeError` if the graph does not compute what the encoder does.
    """
    _require_packages()
    channels = encoder.image_shape[0]
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (3, channels, size, size), dtype=torch.uint8, generator=generator)
    model = _FromPixels(encoder).eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        _export(model, images[:2], temporary)
        with torch.inference_mode():
            expected = model(images).numpy()
        found = _run(temporary, images.numpy())
        difference = float(np.abs(found - expected).max() / max(np.abs(expected).max(), np.finfo(np.float32).tiny))
        if not difference <= LARGEST_DIFFERENCE:
            raise RuntimeError(
                f"the ONNX graph's features differ from the encoder's by {difference:.1e} of the largest"
            )
    return difference


class _FromPixels(nn.Module):
    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.encoder(to_float(images))
        return features


def _require_packages() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"format: 'onnx' needs the package {error.name}; allowed: pip install 'beta-data-weighter[onnx]'"
        ) from error


def _export(model: nn.Module, images: Tensor, path: Path) -> None:
    # The exporter prints its progress, and torch and onnxscript warn about each other's old names.
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                model, (images,), dynamo=True, input_names=["images"], output_names=["features"],
                dynamic_shapes=({0: torch.export.Dim("batch", min=1)},), verbose=False,
            )  # fmt: skip
            assert program is not None
            program.save(path, include_initializers=True, external_data=False)
    finally:
        logging.getLogger("torch.onnx").setLevel(level)


def _run(path: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    (features,) = session.run(["features"], {"images": images})
    return np.asarray(features, dtype=np.float32)
