"""A cluster file that cannot work is refused in one line, before anything is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sweeps.jobs import cluster_file
from sweeps.runner import command_line

ROOT = Path(__file__).resolve().parents[3]
WITH_PLACEHOLDERS = ["aws", "azure", "gcp", "local", "kuberay/raycluster", "kuberay/rayjob", "sky"]

MINIMAL = {
    "cluster_name": "small",
    "max_workers": 2,
    "provider": {"type": "aws", "region": "us-east-1"},
    "head_node_type": "head",
    "available_node_types": {
        "head": {"resources": {"CPU": 0}, "node_config": {"InstanceType": "m7i.xlarge"}},
        "gpu": {
            "resources": {"CPU": 8, "GPU": 1},
            "max_workers": 8,
            "node_config": {"InstanceType": "g6.2xlarge", "InstanceMarketOptions": {"MarketType": "spot"}},
        },
    },
    "setup_commands": ["true"],
    "head_start_ray_commands": ["ray start --head"],
    "worker_start_ray_commands": ["ray start"],
}


def check(file: Path) -> int:
    return command_line.run(lambda: cluster_file.main([str(file)]), prog="cluster_file")


def written(folder: Path, config: dict[str, Any]) -> Path:
    file = folder / "cluster.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


@pytest.mark.parametrize("name", WITH_PLACEHOLDERS)
def test_a_file_of_the_repository_must_be_filled_in(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = ROOT / "cluster" / f"{name}.yaml"
    assert check(file) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"cluster_file: {file}:")
    assert said.count("\n") == 1
    assert "must be replaced by a value of yours: " in said


@pytest.mark.parametrize("name", WITH_PLACEHOLDERS)
def test_every_single_placeholder_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With only one of them left, line by line."""
    lines = (ROOT / "cluster" / f"{name}.yaml").read_text().splitlines()
    numbers = [number for number, line in enumerate(lines) if "REPLACE_ME_" in line.partition("#")[0]]
    assert numbers
    for number in numbers:
        others = [line if i == number else line.replace("REPLACE_ME_", "some-") for i, line in enumerate(lines)]
        file = tmp_path / "cluster.yaml"
        file.write_text("\n".join(others))
        assert check(file) == 2
        hint = lines[number].partition("#")[2].strip()
        said = capsys.readouterr().err
        assert said.startswith(f"cluster_file: {file}:{number + 1}: REPLACE_ME_")
        assert said.endswith(f"{hint}\n")


def test_comments_may_speak_of_placeholders() -> None:
    text = "# replace every REPLACE_ME_X\na: b  # not REPLACE_ME_Y\nc: REPLACE_ME_Z  # the z\nd: 'x#REPLACE_ME_W'\n"
    assert list(cluster_file.placeholders(text)) == [(3, "REPLACE_ME_Z", "the z"), (4, "REPLACE_ME_W", "")]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"provider": None}, "provider: missing; allowed: a type (aws, azure, gcp, local)"),
        ({"provider": {"type": "asw"}}, "provider.type: 'asw' is not known (did you mean 'aws'?)"),
        ({"max_worker": 3}, "'max_worker' was unexpected"),
        ({"max_workers": "many"}, "max_workers: 'many' is not of type 'integer'"),
        ({"idle_timeout_minutes": "5m"}, "idle_timeout_minutes: '5m' is not of type 'number'"),
        ({"head_node_type": "haed"}, "`head_node_type` must be one of `available_node_types`"),
        ({"available_node_types": {"head": {"node_config": {}}}}, "'resources' is a required property"),
        ({"available_node_types": {"head": {"node_config": {}, "resources": {"CPU": 0.5}}}}, "0.5 is not of type"),
        ({"setup_commands": []}, "setup_commands: missing, and Ray's default is not safe"),
        ({"head_start_ray_commands": None}, "head_start_ray_commands: missing, and Ray's default is not safe"),
        ({"provider": {"type": "local"}}, "available_node_types is not supported for on-premise clusters"),
        ({"file_mounts": {"~/x": "no/such/folder"}}, "no/such/folder (for ~/x) is not there; run this in the repo"),
        ({"file_mounts": {"~/t": "~/.ray/auth_token"}}, "is not there; make one: ray get-auth-token --generate"),
    ],
)
def test_what_ray_would_refuse_is_one_line(
    changed: dict[str, Any],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert check(written(tmp_path, MINIMAL | changed)) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert err.count("\n") == 1
    assert out == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [1,\n b", ":2: is no YAML that can be used"),
        ("- a\n- b\n", "is no cluster file"),
        ("", "is no cluster file"),
        ("a: !GetAtt b\n", ":1: is no YAML that can be used: could not determine a constructor for the tag '!GetAtt'"),
        ("a: 1\n---\nb: 2\n", "holds 2 documents; allowed: one"),
    ],
)
def test_what_is_no_cluster_file(
    content: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(content)
    assert check(file) == 2
    assert message in capsys.readouterr().err


def test_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(tmp_path / "none.yaml") == 2
    assert "none.yaml: cannot be read: No such file or directory" in capsys.readouterr().err


def test_summary_says_what_is_paid_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(written(tmp_path, MINIMAL | {"idle_timeout_minutes": 7})) == 0
    said = capsys.readouterr().out
    assert "small on aws: Ray accepts it" in said
    assert "m7i.xlarge, on demand: from `ray up` until `ray down`" in said
    assert "g6.2xlarge, spot: 0 to 2; one that is idle for 7 minutes leaves" in said
    assert "min_workers" not in said


def test_summary_warns_of_machines_that_never_leave(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    types = MINIMAL["available_node_types"]
    assert isinstance(types, dict)
    changed = types | {"gpu": types["gpu"] | {"min_workers": 1}}
    assert check(written(tmp_path, MINIMAL | {"available_node_types": changed})) == 0
    assert "min_workers is above 0" in capsys.readouterr().out


def test_filled_files_of_the_repository_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(ROOT)
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("x" * 64)
    for name in WITH_PLACEHOLDERS:
        file = tmp_path / "cluster.yaml"
        file.write_text((ROOT / "cluster" / f"{name}.yaml").read_text().replace("REPLACE_ME_", "some-"))
        assert check(file) == 0, name
    said = capsys.readouterr().out
    assert said.count("Ray accepts it") == 4
    for machine in ("g6.2xlarge, spot", "g2-standard-8, spot", "Standard_NC8as_T4_v3, spot", "m7i.xlarge, on demand"):
        assert machine in said
    assert said.count("kubectl apply --dry-run=server") == 2
    assert said.count("sky launch --dryrun") == 1


@pytest.mark.parametrize(("driver", "status"), [("550", 2), ("580", 0), ("610", 0)])
def test_an_image_with_an_old_driver_is_refused(
    driver: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.version.cuda", "13.2")
    image = (
        f"projects/ubuntu-os-accelerator-images/global/images/family/ubuntu-accelerator-2404-amd64-with-nvidia-{driver}"
    )
    types = MINIMAL["available_node_types"]
    assert isinstance(types, dict)
    node = {"machineType": "g2-standard-8", "disks": [{"initializeParams": {"sourceImage": image}}]}
    changed = types | {"gpu": types["gpu"] | {"node_config": node}}
    assert check(written(tmp_path, MINIMAL | {"available_node_types": changed})) == status
    said = capsys.readouterr().err
    if status:
        assert f"sourceImage: an image with NVIDIA's driver {driver}; allowed: one with 580 or newer, for torch" in said


def test_an_account_for_pods_is_left_to_the_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(ROOT / "cluster" / "kuberay" / "service-account.yaml") == 0
    assert "kubectl apply --dry-run=server" in capsys.readouterr().out
