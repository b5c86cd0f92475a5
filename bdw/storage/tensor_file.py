"""Files of tensors with words beside them: safetensors, which hold numbers and no code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from bdw.errors import InputError
from bdw.storage.atomic_write import replacing


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """The tensors by name and the metadata (name -> text), whole or not at all."""
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with replacing(path) as temporary:
        # Not save_file: it makes a file that only its owner may read, which is no use on a shared cluster.
        temporary.write_bytes(safetensors.torch.save(whole, dict(metadata)))


def contents_of(path: Path, what: str) -> bytes:
    """The bytes of a file; `InputError` that calls it `what` if it cannot be read."""
    try:
        # safetensors opens no path that is not UTF-8.
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{what} {path} cannot be read: {error}") from error


def tensors_in(contents: bytes, what: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of the contents of such a file; `InputError` that calls it `what` if it is none."""
    try:
        tensors = safetensors.torch.load(contents)
        header = json.loads(contents[8 : 8 + int.from_bytes(contents[:8], "little")])
    except safetensors.SafetensorError as error:
        raise InputError(f"{what} cannot be read: {error}") from error
    metadata: dict[str, str] = header.get("__metadata__", {})
    return tensors, metadata
