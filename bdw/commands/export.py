"""`python -m bdw export`: an encoder for use without PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bdw.commands.evaluate import encoder_file
from bdw.runs.encoder_input import load_encoder
from bdw.runs.onnx_export import write_onnx

if TYPE_CHECKING:
    from bdw.commands.options import Export


def export(command: Export) -> None:
    """Write the graph, and print where it lies, what it takes and how far it differs from the encoder."""
    file = encoder_file(command.run, command.encoder)
    encoder, transform = load_encoder(file)
    out = command.out or file.with_suffix(".onnx")
    difference = write_onnx(out, encoder, transform.crop_size)
    print(
        f"{out}: uint8 images (B, {transform.channels}, {transform.crop_size}, {transform.crop_size}) to features "
        f"(B, {encoder.feature_dim}); onnxruntime's differ from the encoder's by {difference:.1e} of the largest"
    )
