"""Goal-driven self-supervised pre-training: BetaDataWeighter (Ericsson, Gouk and Hospedales, 2020).

    result = bdw.fit(source="photos/", target="labelled/", epochs=3)

Importing this package does no work: torch is loaded when a name that needs it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bdw.config import RunConfig
from bdw.errors import InputError

if TYPE_CHECKING:
    from bdw.commands.fit import fit
    from bdw.commands.score import score
    from bdw.commands.select import select
    from bdw.runs.encoder_input import load_encoder
    from bdw.training.fit import FitResult
    from bdw.training.trainer import iterate

__all__ = ["FitResult", "InputError", "RunConfig", "fit", "iterate", "load_encoder", "score", "select"]

_HOMES = {
    "FitResult": "bdw.training.fit",
    "fit": "bdw.commands.fit",
    "iterate": "bdw.training.trainer",
    "load_encoder": "bdw.runs.encoder_input",
    "score": "bdw.commands.score",
    "select": "bdw.commands.select",
}
_MODULES = {
    **{name: f"bdw.{name}" for name in ("data", "encoders", "meta_gradient", "pretext", "weighters")},
    "presets": "bdw.config.presets",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    raise AttributeError(f"module 'bdw' has no attribute {name!r}")
