"""Methods as benchmarks take them from the command line (see `sweeps.runner.methods`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sweeps.runner.methods import Method, selecting

LEARNING = {"BDW": Method("BDW", {"weighter": "beta"}), "Counts": Method("Counts", {"weighter": "counts"})}
ALL = {**LEARNING, "RotNet": Method("RotNet", {"weighter": "uniform"}), **selecting()}
"""Also plain training, on the whole pool and on what each selector chose."""


def as_text(name: str, fields: Mapping[str, Any]) -> str:
    """The way a command line names that method with these fields of the config; its weighter and whether anything is
    pruned are left out, since name and benchmark say them."""
    settings = {field: value for field, value in fields.items() if field not in ("weighter", "prune")}
    words = [f"{field}={value if isinstance(value, str) else json.dumps(value)}" for field, value in settings.items()]
    return " ".join([name, *words])
