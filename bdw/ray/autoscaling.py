"""Whether a running cluster may get more machines."""

from __future__ import annotations

import json

from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
from ray._private.worker import global_worker
from ray.autoscaler._private.util import format_readonly_node_type


def may_grow() -> bool | None:
    """Whether an autoscaler starts machines for the cluster that this process is connected to; None if unknown.

    Goes through a private interface of Ray 2.60, hence the pin in pyproject.toml.
    """
    return grows_by(global_worker.gcs_client.internal_kv_get(DEBUG_AUTOSCALING_STATUS.encode(), None))


def grows_by(status: bytes | None) -> bool | None:
    """The same from the status that a head's monitor writes every few seconds, JSON.

    Machines that Ray may neither start nor stop have a type of their own each there. None without a status: a head
    writes it some seconds after its start, and Ray's second autoscaler, which `ray up` starts, does not write it.
    """
    report = json.loads(status).get("autoscaler_report") if status else None
    types = list((report or {}).get("active_nodes") or ())
    if not types:
        return None
    return not all(name.startswith(format_readonly_node_type("")) for name in types)
