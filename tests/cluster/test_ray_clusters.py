"""The files of `ray up` against Ray's own schema and preparation code, and for what makes them cheap and closed."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.autoscaler._private.util import prepare_config, validate_config

from bdw.ray.cluster import DRIVER_RESOURCE

CLOUDS = ["aws.yaml", "azure.yaml", "gcp.yaml"]
ALL = [*CLOUDS, "local.yaml"]

Config = Callable[[str], dict[str, Any]]


def workers(config: dict[str, Any]) -> list[dict[str, Any]]:
    return [node for name, node in config["available_node_types"].items() if name != config["head_node_type"]]


def head(config: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = config["available_node_types"][config["head_node_type"]]
    return found


def starts(config: dict[str, Any]) -> list[str]:
    """All commands that start Ray."""
    commands = config["head_start_ray_commands"] + config["worker_start_ray_commands"]
    return [command for command in commands if "ray start" in command]


@pytest.mark.parametrize("name", ALL)
def test_ray_accepts_it(name: str, config: Config) -> None:
    prepared = prepare_config(config(name))
    validate_config(prepared)
    assert prepared["max_workers"] == (2 if name == "local.yaml" else 8)


@pytest.mark.parametrize("name", ALL)
def test_every_top_level_choice_is_ours(name: str, config: Config) -> None:
    """Ray fills in what a file leaves out, among it a nightly build of Ray and a dashboard for everybody."""
    ours, prepared = config(name), prepare_config(config(name))
    harmless = {"docker", "cluster_synced_files", "file_mounts_sync_continuously", "initialization_commands"}
    of_local = {"available_node_types", "head_node_type", "max_workers"} if name == "local.yaml" else set()
    assert set(prepared) - set(ours) <= harmless | of_local
    commands = [command for key in prepared if key.endswith("_commands") for command in prepared[key]]
    assert commands
    assert not [command for command in commands if re.search(r"nightly|dev0|\.whl|curl|https?:", command)]


@pytest.mark.parametrize("name", CLOUDS)
def test_head_is_on_demand_and_trains_nothing(name: str, config: Config) -> None:
    node = head(config(name))
    assert node["resources"] == {"CPU": 0, DRIVER_RESOURCE: 64}
    assert node["max_workers"] == 0
    assert not re.search("spot|preemptible", str(node["node_config"]), re.IGNORECASE)


@pytest.mark.parametrize("name", CLOUDS)
def test_workers_are_on_spot_and_come_only_when_needed(name: str, config: Config) -> None:
    whole = config(name)
    assert len(workers(whole)) == 1
    for node in workers(whole):
        kind = {
            "aws.yaml": lambda found: found["InstanceMarketOptions"]["MarketType"],
            "gcp.yaml": lambda found: found["scheduling"]["provisioningModel"],
            "azure.yaml": lambda found: found["azure_arm_parameters"]["priority"],
        }[name](node["node_config"])
        assert kind.lower() == "spot"
        assert node["min_workers"] == 0
        assert 0 < node["max_workers"] <= whole["max_workers"]
        assert node["resources"]["GPU"] == 1
    assert 0 < whole["idle_timeout_minutes"] <= 15
    assert whole["provider"]["cache_stopped_nodes"] is False


@pytest.mark.parametrize("name", ALL)
def test_ray_starts_closed_and_in_the_repository(name: str, config: Config) -> None:
    whole = config(name)
    commands = starts(whole)
    assert len(commands) == 2
    for command in commands:
        assert command.startswith('cd ~/bdw && export PATH="$HOME/venv/bin:$PATH" RAY_AUTH_MODE=token ')
        assert "RAY_USAGE_STATS_ENABLED=0" in command
        assert "--disable-usage-stats" in command
        if name in CLOUDS:
            assert "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S=900" in command
    assert "--dashboard-host=127.0.0.1" in commands[0]
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in commands[0]
    assert whole["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"


@pytest.mark.parametrize("name", CLOUDS)
def test_workers_listen_for_their_end(name: str, config: Config) -> None:
    *_, last = config(name)["worker_start_ray_commands"]
    cloud = name.removesuffix(".yaml")
    assert f"-m sweeps.jobs.spot_notice --cloud {cloud} --head $RAY_HEAD_IP:6379 >" in last
    assert "RAY_AUTH_MODE=token" in last
    # In the background and without the terminal, or `ray up` would wait for it.
    assert "nohup" in last
    assert last.endswith("< /dev/null &)")


def test_drivers_have_seats_on_a_head_of_ones_own(config: Config) -> None:
    assert f"--resources='{{\"{DRIVER_RESOURCE}\": 64}}'" in starts(config("local.yaml"))[0]


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_open_to_the_world(name: str, cluster_files: Path) -> None:
    assert "0.0.0.0" not in (cluster_files / name).read_text()


@pytest.mark.parametrize("name", ALL)
def test_what_is_installed_is_this_repository_in_its_pinned_versions(name: str, config: Config) -> None:
    whole = config(name)
    installs = [command for key in ("setup_commands", "head_setup_commands") for command in whole[key]]
    pips = [command for command in installs if "pip install" in command]
    assert pips
    assert all("--constraint ~/bdw/constraints.txt" in command for command in pips)
    assert len([command for command in pips if command.endswith(" ~/bdw")]) == 1


def test_every_client_of_a_cloud_is_pinned(cluster_files: Path) -> None:
    """Those that machines install, and those of the guide: pip once chose a client of 2018 to make a set fit."""
    pins = {line.partition("==")[0] for line in (cluster_files.parent / "constraints.txt").read_text().splitlines()}
    files = [cluster_files / name for name in ("README.md", *ALL)]
    text = "\n".join(file.read_text() for file in files)
    named = [words.split() for words in re.findall(r"pip install.* --constraint \S*constraints.txt ([^#\n]+)", text)]
    packages = {word for words in named for word in words if "/" not in word} | {
        word
        for words in re.findall(r"pip install --constraint constraints.txt ([^#\n]+)", text)
        for word in words.split()
    }
    assert {"boto3", "google-api-python-client", "azure-mgmt-compute"} <= packages
    assert packages - pins == set()


@pytest.mark.parametrize("name", ALL)
def test_ray_down_finds_ray(name: str, config: Config, tmp_path: Path) -> None:
    """It runs `ray stop` in the shell below, and goes on without if there is no such command."""
    (line,) = [command for command in config(name)["setup_commands"] if ".bashrc" in command]
    ray = tmp_path / "venv" / "bin" / "ray"
    ray.parent.mkdir(parents=True)
    ray.write_text('#!/bin/sh\necho "ray $1 $RAY_AUTH_MODE"\n')
    ray.chmod(0o755)
    home = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    (tmp_path / ".bashrc").touch()
    for _ in range(2):
        subprocess.run(["bash", "-c", line], env=home, check=True)
    assert len((tmp_path / ".bashrc").read_text().splitlines()) == 1
    shell = ["bash", "--login", "-c", "-i", "source ~/.bashrc; ray stop"]
    done = subprocess.run(shell, env=home, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.stdout.splitlines()[-1] == "ray stop token"


@pytest.mark.parametrize("name", ALL)
def test_everything_that_pip_needs_is_copied(name: str, config: Config, cluster_files: Path) -> None:
    root = cluster_files.parent
    mounts = {remote: local for remote, local in config(name)["file_mounts"].items() if "auth_token" not in remote}
    assert {remote.removeprefix("~/bdw/") for remote in mounts} == set(mounts.values())
    assert all((root / local).exists() for local in mounts.values())
    needed = {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "bdw", "sweeps", "analysis"}
    assert set(mounts.values()) >= needed


def test_aws_machines_have_their_own_roles_and_group(config: Config) -> None:
    """Left out, Ray makes a role with AmazonEC2FullAccess and a group that is open on port 22."""
    nodes = config("aws.yaml")["available_node_types"]
    profiles = {name: node["node_config"]["IamInstanceProfile"]["Name"] for name, node in nodes.items()}
    assert profiles == {"head": "bdw-head", "gpu": "bdw-worker"}
    for node in nodes.values():
        settings = node["node_config"]
        assert settings["SecurityGroupIds"] == ["sg-0123456789abcdef0"]
        assert settings["MetadataOptions"]["HttpTokens"] == "required"
        assert settings["InstanceInitiatedShutdownBehavior"] == "terminate"
        assert [disk["Ebs"]["DeleteOnTermination"] for disk in settings["BlockDeviceMappings"]] == [True]
        assert [disk["Ebs"]["Encrypted"] for disk in settings["BlockDeviceMappings"]] == [True]


def test_gcp_machines_have_their_own_accounts_and_network(config: Config) -> None:
    nodes = config("gcp.yaml")["available_node_types"]
    accounts = {name: node["node_config"]["serviceAccounts"][0]["email"].split("@")[0] for name, node in nodes.items()}
    assert accounts == {"head": "bdw-head", "gpu": "bdw-worker"}
    for node in nodes.values():
        assert node["node_config"]["networkInterfaces"][0]["subnetwork"].endswith("/subnetworks/bdw")
        assert node["node_config"]["tags"] == {"items": ["bdw"]}
        assert node["node_config"]["disks"][0]["autoDelete"] is True


def test_azure_machines_have_no_public_address(config: Config) -> None:
    provider = config("azure.yaml")["provider"]
    assert provider["use_internal_ips"] is True
    assert not provider.get("use_external_head_ip")


@pytest.mark.parametrize("name", [*ALL, "kuberay/raycluster.yaml", "kuberay/rayjob.yaml"])
def test_every_placeholder_says_what_to_put_there(name: str, cluster_files: Path) -> None:
    for line in (cluster_files / name).read_text().splitlines():
        value, _, comment = line.partition("#")
        assert "REPLACE_ME" not in value or comment.strip(), line


@pytest.mark.parametrize("name", [*CLOUDS, "kuberay/raycluster.yaml", "kuberay/rayjob.yaml"])
def test_price_relevant_lines_are_marked(name: str, cluster_files: Path) -> None:
    lines = (cluster_files / name).read_text().splitlines()
    marked = [line for line in lines if "# PRICE" in line]
    assert [line for line in marked if re.search("max_workers: 8|maxReplicas: 8", line)]
    assert [line for line in marked if re.search("idle", line)]
    assert [line for line in marked if re.search("min_workers: 0|minReplicas: 0", line)]


@pytest.mark.parametrize("name", CLOUDS)
def test_workers_say_whether_torch_can_use_their_gpu(name: str, config: Config) -> None:
    """Without failing: a machine whose set-up fails is replaced by another one, and so on, all of them paid for."""
    assert config(name)["worker_setup_commands"] == ["~/venv/bin/python -m bdw doctor --gpu || true"]


def test_the_zone_of_google_clouds_machines_is_written_once(config: Config, filled: Callable[..., str]) -> None:
    """Once means: by the person who fills the file in. The disks' type names it again."""
    text = filled("gcp.yaml", REGION="europe-west4", ZONE="europe-west4-c")
    assert set(re.findall(r"[a-z]+-[a-z]+[0-9]-[a-z]\b", text)) == {"europe-west4-c"}
    assert not re.search(r"us-central1(?!.*subnetworks)", text)


def test_machines_have_the_same_disks_everywhere(config: Config) -> None:
    sizes = {
        "aws.yaml": lambda node: node["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"],
        "gcp.yaml": lambda node: node["disks"][0]["initializeParams"]["diskSizeGb"],
        "azure.yaml": lambda node: node["azure_arm_parameters"]["osDiskSize"],
    }
    found = {
        size(node["node_config"])
        for name, size in sizes.items()
        for node in config(name)["available_node_types"].values()
    }
    assert found == {100}


def test_azures_parameters_are_those_of_rays_template(config: Config) -> None:
    """Azure refuses others, when the machine is started."""
    template = Path(ray.__file__).parent / "autoscaler" / "_private" / "_azure" / "azure-vm-template.json"
    known = set(json.loads(template.read_text())["parameters"]) | {"availability_zone"}  # Taken out by Ray.
    for node in config("azure.yaml")["available_node_types"].values():
        assert set(node["node_config"]["azure_arm_parameters"]) <= known
