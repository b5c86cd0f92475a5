"""Goal-driven self-supervised pre-training: BetaDataWeighter (Ericsson, Gouk and Hospedales, 2020).

    result = bdw.fit(bdw.RunConfig())

Importing this package does no work: torch is loaded when a name that needs it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bdw.config import RunConfig
from bdw.errors import InputError

if TYPE_CHECKING:
    from bdw.fitting import FitResult, fit
    from bdw.trainer import iterate

__all__ = ["FitResult", "InputError", "RunConfig", "fit", "iterate"]

_HOMES = {"FitResult": "bdw.fitting", "fit": "bdw.fitting", "iterate": "bdw.trainer"}
_MODULES = ("data", "encoders", "meta_gradient", "presets", "pretext", "weighters")


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"bdw.{name}")
    raise AttributeError(f"module 'bdw' has no attribute {name!r}")
