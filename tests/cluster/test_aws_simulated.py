"""`ray up`, the autoscaler and `ray down` with cluster/aws.yaml, in an AWS that moto simulates on this machine.

No machine is reached: `ssh` and `rsync` are stubs, without which Ray would dial the addresses that moto invents.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from moto.moto_api import recorder
from moto.server import ThreadedMotoServer

ROOT = Path(__file__).resolve().parents[2]
REGION = "us-east-1"
SSH_FROM = "203.0.113.7/32"
SOMEBODY, HEAD = "somebody", "head"  # Access keys, by which the simulation tells who asks.

pytestmark = pytest.mark.long


@dataclass(frozen=True)
class Account:
    """A simulated account in which the stack is deployed, and a home from which `ray up` is run."""

    endpoint: str
    folder: Path
    environment: dict[str, str]
    outputs: dict[str, str]
    cluster: Path

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.endpoint,
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
        )

    def instances(self, *states: str) -> list[dict[str, Any]]:
        filters = [{"Name": "instance-state-name", "Values": list(states or ("pending", "running"))}]
        reservations = self.client("ec2").describe_instances(Filters=filters)["Reservations"]
        return [instance for reservation in reservations for instance in reservation["Instances"]]

    def head(self) -> dict[str, Any]:
        (head,) = [instance for instance in self.instances() if tags(instance)["ray-node-type"] == "head"]
        return head

    def workers(self) -> list[dict[str, Any]]:
        return [instance for instance in self.instances() if tags(instance)["ray-node-type"] == "worker"]

    def ray(self, *arguments: str) -> None:
        """A `ray` command, as typed in the repository's root."""
        command = [str(Path(sys.executable).with_name("ray")), *arguments]
        done = subprocess.run(command, env=self.environment, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def said(self) -> list[str]:
        """The commands that went through ssh and rsync."""
        return (self.folder / "said").read_text().splitlines()


def tags(resource: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in resource["Tags"]}


@pytest.fixture(scope="module")
def account(filled: Callable[..., str], cluster_files: Path) -> Iterator[Account]:
    folder = Path(tempfile.mkdtemp(prefix="aws-"))
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        environment = home_of_somebody(folder, endpoint)
        outputs = deploy(Account(endpoint, folder, environment, {}, folder), cluster_files)
        cluster = folder / "aws.yaml"
        cluster.write_text(filled("aws.yaml", IMAGE=outputs["Image"], SECURITY_GROUP=outputs["SecurityGroup"]))
        yield Account(endpoint, folder, environment, outputs, cluster)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def home_of_somebody(folder: Path, endpoint: str) -> dict[str, str]:
    """Environment with stubs first on the PATH, no credentials but invented ones, and no other home."""
    home, stubs, temporary = folder / "home", folder / "stubs", folder / "tmp"
    for place in (home / ".ray", stubs, temporary):
        place.mkdir(parents=True)
    (home / ".ray" / "auth_token").write_text("t" * 64)
    for name in ("ssh", "rsync"):
        # The config that `ray up` makes for the head is a temporary file: what is sent is kept.
        (stubs / name).write_text(
            f'#!/bin/sh\necho "{name} $*" >> {folder}/said\n'
            f'for word; do case "$word" in */ray-bootstrap-*) cp "$word" {folder}/bootstrap.json;; esac; done\n'
        )
        (stubs / name).chmod(0o755)
    return {
        "PATH": f"{stubs}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "PYTHONPATH": str(ROOT),
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": SOMEBODY,
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "RAY_USAGE_STATS_ENABLED": "0",
        "OMP_NUM_THREADS": "1",
    }


def deploy(account: Account, cluster_files: Path) -> dict[str, str]:
    """The stack's outputs. The parameter with Amazon's image is one of our own: moto does not have Amazon's."""
    ec2, formation = account.client("ec2"), account.client("cloudformation")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    account.client("ssm").put_parameter(Name="/base-image", Value=image, Type="String")
    template = re.sub(r"/aws/service/\S+", "/base-image", (cluster_files / "aws-account.yaml").read_text())
    network = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    formation.create_stack(
        StackName="bdw",
        TemplateBody=template,
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[
            {"ParameterKey": "SshFrom", "ParameterValue": SSH_FROM},
            {"ParameterKey": "VpcId", "ParameterValue": network},
        ],
    )
    stack = formation.describe_stacks(StackName="bdw")["Stacks"][0]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


@pytest.fixture(scope="module")
def cluster(account: Account) -> Iterator[Account]:
    """The cluster between `ray up` and `ray down`, which must leave no machine, running or stopped."""
    account.ray("up", "--no-config-cache", "--yes", str(account.cluster))
    yield account
    assert account.instances()
    account.ray("down", "--yes", str(account.cluster))
    assert account.instances("pending", "running", "stopping", "stopped") == []
    assert "ray stop" in account.said()[-1]


def test_head_is_what_the_file_says(cluster: Account) -> None:
    head = cluster.head()
    assert head["InstanceType"] == "m7i.xlarge"
    assert "InstanceLifecycle" not in head  # On demand; "spot" otherwise.
    assert head["ImageId"] == cluster.outputs["Image"]
    assert head["IamInstanceProfile"]["Arn"].endswith("/bdw-head")
    assert head["Placement"]["AvailabilityZone"] == "us-east-1a"
    assert (
        tags(head).items()
        >= {
            "ray-cluster-name": "bdw",
            "ray-node-type": "head",
            "project": "bdw",
            "ray-node-status": "up-to-date",
        }.items()
    )


def test_only_one_address_comes_in(cluster: Account) -> None:
    ec2 = cluster.client("ec2")
    groups = {group["GroupId"] for instance in cluster.instances() for group in instance["SecurityGroups"]}
    assert groups == {cluster.outputs["SecurityGroup"]}
    (group,) = ec2.describe_security_groups(GroupIds=list(groups))["SecurityGroups"]
    rules = {rule["IpProtocol"]: rule for rule in group["IpPermissions"]}
    assert rules.keys() == {"tcp", "-1"}
    assert (rules["tcp"]["FromPort"], rules["tcp"]["ToPort"]) == (22, 22)
    assert [network["CidrIp"] for network in rules["tcp"]["IpRanges"]] == [SSH_FROM]
    assert (rules["-1"]["IpRanges"], rules["-1"].get("Ipv6Ranges", [])) == ([], [])
    assert [pair["GroupId"] for pair in rules["-1"]["UserIdGroupPairs"]] == list(groups)


def test_ray_makes_no_roles_or_groups_of_its_own(cluster: Account) -> None:
    roles = [role["RoleName"] for role in cluster.client("iam").list_roles()["Roles"]]
    assert sorted(roles) == ["bdw-head", "bdw-worker"]
    names = [group["GroupName"] for group in cluster.client("ec2").describe_security_groups()["SecurityGroups"]]
    assert not [name for name in names if name.startswith("ray-autoscaler")]


def test_head_gets_the_repository_the_token_and_a_closed_ray(cluster: Account) -> None:
    said = cluster.said()
    sent = [line.split()[-2:] for line in said if line.startswith("rsync")]
    targets = {target.partition(":")[2]: source for source, target in sent}
    assert targets["~/bdw/bdw/"] == "bdw/"
    assert targets["~/.ray/auth_token"] == str(cluster.folder / "home" / ".ray" / "auth_token")
    assert not [source for source in targets.values() if source in (".", "./")]
    (start,) = {line for line in said if "ray start --head" in line}
    for part in (
        "RAY_AUTH_MODE=token",
        "--dashboard-host=127.0.0.1",
        "RAY_enable_autoscaler_v2=1",
        '"trial_driver":64',
    ):
        assert part in start
    assert not [line for line in said if "ray-3.0.0.dev0" in line or "0.0.0.0" in line]


def test_autoscaler_brings_spot_workers_with_what_the_head_may_do(
    cluster: Account, cluster_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head's own autoscaler, fed with the config that `ray up` sent to it, on this machine."""
    monkeypatch.setattr(recorder, "_location", str(cluster.folder / "recording"))
    recorder.start_recording()
    with running_head(cluster, cluster.head()["InstanceId"]) as address:
        ask = (
            "import ray; from ray.autoscaler.sdk import request_resources\n"
            f"ray.init('{address}', log_to_driver=False, logging_level='error')\n"
            "request_resources(bundles=[{'GPU': 1, 'CPU': 4}] * 2)\n"
        )
        environment = cluster.environment | {"RAY_AUTH_MODE": "token"}
        subprocess.run([sys.executable, "-c", ask], env=environment, check=True, capture_output=True)
        workers = wait_for(cluster.workers, 2)
        wait_for(lambda: [line for line in cluster.said() if "sweeps.jobs.spot_notice" in line], 2)
    recorder.stop_recording()
    assert len(workers) == 2
    for worker in workers:
        assert (worker["InstanceType"], worker["InstanceLifecycle"]) == ("g6.2xlarge", "spot")
        assert worker["IamInstanceProfile"]["Arn"].endswith("/bdw-worker")
        assert [group["GroupId"] for group in worker["SecurityGroups"]] == [cluster.outputs["SecurityGroup"]]
        assert tags(worker).items() >= {"ray-cluster-name": "bdw", "project": "bdw"}.items()
    told = [line for line in cluster.said() if "sweeps.jobs.spot_notice" in line]
    assert all("export RAY_HEAD_IP=" in line and "--cloud aws --head $RAY_HEAD_IP:6379" in line for line in told)

    called = set()
    for line in recorder.download_recording().splitlines():
        request = json.loads(line)
        if f"Credential={HEAD}/" in request["headers"]["Authorization"]:
            called |= set(re.findall(r"\bAction=(\w+)", base64.b64decode(request["body"]).decode()))
    assert called >= {"RunInstances", "DescribeInstances", "CreateTags"}
    assert called <= set(re.findall(r"ec2:(\w+)", (cluster_files / "aws-account.yaml").read_text()))


@contextmanager
def running_head(account: Account, instance: str) -> Iterator[str]:
    """Ray's head on this machine, as if it were `instance`; its address. All its processes end with the block."""
    home, log = account.folder / "home", account.folder / "head.log"
    for name in ("bdw", "sweeps", "analysis"):  # Workers get the files from the head, where they must be.
        (home / "bdw" / name).mkdir(parents=True)
    for name in ("pyproject.toml", "constraints.txt", "README.md", "LICENSE"):
        (home / "bdw" / name).touch()
    shutil.copy(next((home / ".ssh").glob("ray-autoscaler_*.pem")), home / "ray_bootstrap_key.pem")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    temporary = tempfile.mkdtemp(prefix="ray-")  # Short: socket paths may not be longer than 107 bytes.
    command = [
        *(str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", f"--port={port}"),
        *("--num-cpus=0", "--include-dashboard=false", f"--temp-dir={temporary}", "--object-store-memory=100000000"),
        f"--autoscaling-config={account.folder}/bootstrap.json",
    ]
    environment = account.environment | {
        "RAY_AUTH_MODE": "token",
        "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": instance,
        "RAY_NODE_TYPE_NAME": "head",
        "AWS_ACCESS_KEY_ID": HEAD,
    }
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        (address,) = wait_for(lambda: re.findall(r"--address='?([\d.]+:\d+)", log.read_text())[:1], 1)
        yield str(address)
    finally:
        family = psutil.Process(process.pid)
        members = [*family.children(recursive=True), family]
        for member in members:
            member.terminate()
        for member in psutil.wait_procs(members, timeout=5)[1]:
            member.kill()
        process.wait()
        shutil.rmtree(temporary, ignore_errors=True)


def wait_for(look: Callable[[], list[Any]], number: int) -> list[Any]:
    """What `look` sees once it sees so many; whatever there is after a minute."""
    end = time.monotonic() + 60
    while len(found := look()) < number and time.monotonic() < end:
        time.sleep(0.5)
    return found
