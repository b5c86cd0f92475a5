"""The task of SkyPilot against SkyPilot's own schemas, and its commands as far as they run without a cloud."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.cluster import sky_schemas

Filled = Callable[..., str]


def of_any_case(validator: Any, allowed: list[str], value: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
    """SkyPilot's own keyword."""
    if str(value).lower() not in [name.lower() for name in allowed]:
        yield jsonschema.ValidationError(f"{value!r} is not one of {allowed}")


Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"case_insensitive_enum": of_any_case})


@pytest.fixture
def task(filled: Filled) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(filled("sky.yaml", BUCKET="some-bucket"))
    return loaded


def validate(task: dict[str, Any]) -> None:
    """As SkyPilot does: the task, then its resources and each storage by schemas of their own."""
    schemas = sky_schemas.kept()
    Validator(schemas["task"]).validate(task)
    Validator(schemas["resources"]).validate(task["resources"])
    for place in task["file_mounts"].values():
        if isinstance(place, dict):
            Validator(schemas["storage"]).validate(place)


def test_sky_accepts_it(task: dict[str, Any]) -> None:
    validate(task)


@pytest.mark.parametrize(
    "change",
    [
        {"num_node": 2},
        {"num_nodes": "2"},
        {"resources": {"use_spots": True}},
        {"resources": {"autostop": {"idle_minute": 10}}},
        {"resources": {"cloud": "asw"}},
        {"envs": {"A-B": "c"}},
        {"file_mounts": {"/bucket": {"name": "b", "mode": "MOUNTED"}}},
    ],
)
def test_the_schemas_find_mistakes(change: dict[str, Any], task: dict[str, Any]) -> None:
    """Otherwise the test above would mean little."""
    with pytest.raises(jsonschema.ValidationError):
        validate(task | change)


def test_the_schemas_are_those_of_skypilot() -> None:
    try:
        made = sky_schemas.made()
    except ImportError:
        pytest.skip("SkyPilot is not installed")
    assert made == sky_schemas.KEPT.read_bytes()


def test_machines_are_spot_end_when_idle_and_open_nothing(task: dict[str, Any]) -> None:
    resources = task["resources"]
    assert resources["use_spot"] is True
    assert resources["autostop"]["down"] is True
    assert 0 < resources["autostop"]["idle_minutes"] <= 15
    assert "ports" not in resources
    assert "--dashboard-host=127.0.0.1" in task["run"]
    assert "0.0.0.0" not in str(task)
    assert "RAY_AUTH_MODE=token" in task["run"]
    assert task["secrets"] == {"RAY_AUTH_TOKEN": None}  # It is in no file.


def test_what_is_written_outlives_the_machines(task: dict[str, Any]) -> None:
    (bucket,) = task["file_mounts"].values()
    assert task["envs"]["STORAGE"] == f"s3://{bucket['name']}/sweeps"
    assert re.search(r" --name \S+", task["envs"]["SWEEP"])


def test_skypilots_own_ray_is_left_alone(task: dict[str, Any]) -> None:
    """It listens on 6380, 8266 and 52365."""
    assert "ray stop" not in re.sub(r"#.*", "", task["run"])
    assert not re.search(r"\b(6380|8266|52365)\b", re.sub(r"#.*", "", task["run"]))
    assert "--dashboard-agent-listen-port=52366" in task["run"]
    assert "--temp-dir=/tmp/bdw-ray" in task["run"]


@pytest.mark.parametrize("part", ["setup", "run"])
def test_bash_can_read_it(part: str, task: dict[str, Any]) -> None:
    subprocess.run(["bash", "-n", "-c", task[part]], check=True)
    assert task[part].startswith("set -euo pipefail\n")


@pytest.mark.parametrize("rank", [0, 1])
def test_each_machine_does_its_part(rank: int, task: dict[str, Any], tmp_path: Path) -> None:
    """With commands that write down how they were called; the worker finds a head that listens."""
    for name in ("ray", "python"):
        stub = tmp_path / "venv" / "bin" / name
        stub.parent.mkdir(parents=True, exist_ok=True)
        if name == "ray":
            wait = 'case "$*" in *--head*) sleep 30;; esac'
        else:
            there = f"grep -qs '^ray' {tmp_path}/calls"
            wait = f'case "$*" in *wait_for_machines*) until {there}; do sleep 0.02; done;; esac'
        stub.write_text(f'#!/bin/bash\necho "{name} $*" >> {tmp_path}/calls\n{wait}\n')
        stub.chmod(0o755)
    run = task["run"].replace("/dev/tcp/$head/6379", "/dev/null")
    environment = {
        "HOME": str(tmp_path),
        "PATH": "/usr/bin:/bin",
        "SKYPILOT_NODE_IPS": "192.0.2.1\n192.0.2.2",
        "SKYPILOT_NODE_RANK": str(rank),
        **{name: str(value) for name, value in task["envs"].items()},
    }
    done = subprocess.run(["bash", "-c", run], env=environment, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    calls = (tmp_path / "calls").read_text().splitlines()
    if rank:
        assert [call.split()[:3] for call in calls] == [["ray", "start", "--address=192.0.2.1:6379"]]
        return
    assert sorted(call.split()[0] for call in calls) == ["python", "python", "ray"]
    (head,) = [call for call in calls if call.startswith("ray")]
    assert "--head --port=6379 --node-ip-address=192.0.2.1 " in head
    assert [call for call in calls if call.startswith("python")] == [
        "python -m sweeps.jobs.wait_for_machines 2 --seconds 900",
        "python sweeps/stl10_pruning.py --name sky --gpus-per-trial 1 --storage-path s3://some-bucket/sweeps",
    ]
