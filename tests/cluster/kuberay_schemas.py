"""KubeRay's schemas as the tests use them: kept beside this file without their texts, made from KubeRay's own files.

    python -m tests.cluster.kuberay_schemas FOLDER      writes kuberay_schemas.json.gz anew

FOLDER holds `ray.io_rayclusters.yaml` and `ray.io_rayjobs.yaml` of `helm-chart/kuberay-operator/crds` of the
repository ray-project/kuberay (Apache License 2.0, as this repository) at `COMMIT`. Files with other digests are
refused: for another version change `COMMIT` and `DIGESTS`, and the versions in cluster/README.md.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import yaml

COMMIT = "feeaf72fa"
"""After KubeRay 1.7.0."""
DIGESTS = {
    "RayCluster": ("ray.io_rayclusters.yaml", "c44704442eef0c6721ad40c1d66782c8bd3fdab9d3344306a5820910a679baa1"),
    "RayJob": ("ray.io_rayjobs.yaml", "01a5cf3b17c1769fda44af7e82debcd98722f0c27b9ab84d084681c6649121f5"),
}
"""Kind -> file and its SHA-256."""
KEPT = Path(__file__).with_name("kuberay_schemas.json.gz")


def kept() -> dict[str, Any]:
    """OpenAPI schema of version v1 by kind, texts left out."""
    found: dict[str, Any] = json.loads(gzip.decompress(KEPT.read_bytes()))
    return found


def made_of(folder: Path) -> bytes:
    """The contents of `KEPT`. Raises `ValueError` for files that are not those of `COMMIT`."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    schemas = {}
    for kind, (name, digest) in DIGESTS.items():
        contents = (folder / name).read_bytes()
        if (there := hashlib.sha256(contents).hexdigest()) != digest:
            raise ValueError(f"{folder / name}: SHA-256 {there}; allowed: {digest}, that of KubeRay's commit {COMMIT}")
        versions = yaml.load(contents, loader)["spec"]["versions"]
        (version,) = [version for version in versions if version["name"] == "v1"]
        schemas[kind] = without_texts(version["schema"]["openAPIV3Schema"])
    text = json.dumps(schemas, separators=(",", ":"), sort_keys=True)
    return gzip.compress(text.encode(), 9, mtime=0)


def without_texts(schema: Any, *, names: bool = False) -> Any:
    """The schema without descriptions; `names`: these keys are names of properties, one of which may be
    `description`."""
    if isinstance(schema, list):
        return [without_texts(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: without_texts(value, names=key == "properties" and not names)
        for key, value in schema.items()
        if names or key != "description"
    }


if __name__ == "__main__":
    KEPT.write_bytes(made_of(Path(sys.argv[1])))
