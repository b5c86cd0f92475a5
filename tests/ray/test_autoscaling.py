"""Whether a cluster may grow follows from the status that its head's monitor writes."""

from __future__ import annotations

import json

import pytest

from bdw.ray.autoscaling import grows_by

HEAD = "node_6ffa9e82478fd4bc32b677109e7b668224430060b818fc9e147350d4"


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        # As Ray 2.60 wrote it after `ray start --head` without an autoscaler.
        ({HEAD: 1}, False),
        ({HEAD: 1, HEAD[:-1] + "5": 1}, False),
        ({"ray.head.default": 1}, True),
        ({"head": 1, "gpu": 2}, True),
        ({}, None),
        (None, None),
    ],
)
def test_machines_without_a_type_of_a_configuration_are_all_that_there_will_be(
    nodes: dict[str, int] | None, expected: bool | None
) -> None:
    status = {"autoscaler_report": {"active_nodes": nodes, "idle_nodes": None}, "load_metrics_report": {}}
    assert grows_by(json.dumps(status).encode()) is expected


@pytest.mark.parametrize("status", [None, b"", b'{"autoscaler_report": null}', b"{}"])
def test_a_head_that_has_not_said_anything_yet(status: bytes | None) -> None:
    assert grows_by(status) is None
