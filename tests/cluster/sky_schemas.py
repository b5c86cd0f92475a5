"""SkyPilot's schemas of a task as the tests use them, kept beside this file.

    python -m tests.cluster.sky_schemas      writes sky_schemas.json.gz anew, where SkyPilot `VERSION` is installed

They are what `sky.utils.schemas` of SkyPilot (Apache License 2.0, as this repository) gives. SkyPilot itself is no
requirement of the tests: its packages exclude those of bdw.
"""

from __future__ import annotations

import gzip
import importlib
import json
from pathlib import Path
from typing import Any

VERSION = "0.14.1"
KEPT = Path(__file__).with_name("sky_schemas.json.gz")


def kept() -> dict[str, Any]:
    """JSON schemas: `task`, whose parts `resources` and `storage` have schemas of their own."""
    found: dict[str, Any] = json.loads(gzip.decompress(KEPT.read_bytes()))
    return found


def made() -> bytes:
    """The contents of `KEPT`. Raises `ImportError` without SkyPilot, `ValueError` for another version."""
    if (there := importlib.import_module("sky").__version__) != VERSION:
        raise ValueError(f"SkyPilot {there}; allowed: {VERSION}")
    schemas = importlib.import_module("sky.utils.schemas")
    found = {part: getattr(schemas, f"get_{part}_schema")() for part in ("task", "resources", "storage")}
    return gzip.compress(json.dumps(found, separators=(",", ":"), sort_keys=True).encode(), 9, mtime=0)


if __name__ == "__main__":
    KEPT.write_bytes(made())
