"""`python -m bdw export`: an encoder for use without PyTorch, or a run for Hugging Face's hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bdw.commands.first_checks import encoder_file
from bdw.errors import InputError
from bdw.runs.encoder_input import load_encoder
from bdw.runs.onnx_export import write_onnx

if TYPE_CHECKING:
    from bdw.commands.options import Export


def export(command: Export) -> None:
    """Write what is asked for, and print where it lies; of a graph also what it takes and how far it differs from the
    encoder."""
    if command.format == "hub":
        _export_to_folder(command)
        return
    file = encoder_file(command.run, command.encoder)
    encoder, transform = load_encoder(file)
    out = command.out or file.with_suffix(".onnx")
    difference = write_onnx(out, encoder, transform.crop_size)
    print(
        f"{out}: uint8 images (B, {transform.channels}, {transform.crop_size}, {transform.crop_size}) to features "
        f"(B, {encoder.feature_dim}); onnxruntime's differ from the encoder's by {difference:.1e} of the largest"
    )


def _export_to_folder(command: Export) -> None:
    if command.run is None or command.encoder is not None:
        raise InputError("format: 'hub' describes a run; allowed: --run DIR with it, without --encoder")
    from bdw.report.hub_folder import write_hub_folder

    out = command.out or command.run / "hub"
    for path in write_hub_folder(command.run, out):
        print(path)
    print("note    look through both README.md: licence and origin of the images are left for you to fill in")
