"""Fields that earlier versions had, for files of earlier runs alone; a new run that names one is told it is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bdw.errors import InputError

REMOVED: Mapping[str, Any] = {
    "evaluation_batch": 256,
    "nearest_search": "exact",
    "pruned_for": None,
    "settled_epochs": None,
    "target_updates_statistics": False,
    "weight_gradient_clip": 10.0,
}
"""Field -> the default that it had: what all runs do now."""
LAST_WITH_REMOVED = "4b310db"
"""The last revision that knows the fields of `REMOVED`."""


def of_today(values: Mapping[str, Any]) -> dict[str, Any]:
    """The flat config of an earlier run without the fields that are gone since.

    Raises `InputError` if one of them had another value than its default: no run does that any more.
    """
    for name, default in REMOVED.items():
        if values.get(name, default) != default:
            raise InputError(
                f"{name}: {values[name]!r} is from an earlier version and the option is gone; allowed: {default!r} "
                f"(revision {LAST_WITH_REMOVED} still reads this run)"
            )
    return {name: value for name, value in values.items() if name not in REMOVED}
