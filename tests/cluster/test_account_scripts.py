"""The scripts that set up a Google Cloud project and tie Kubernetes' accounts to a cloud's, with commands that only
remember what they are told."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws

ZONE = "us-central1-a"
SCRIPTS = ["gcp-account.sh", "kuberay/gke-identity.sh", "kuberay/eks-identity.sh"]
Done = subprocess.CompletedProcess[str]


@pytest.mark.parametrize("script", SCRIPTS)
def test_bash_can_read_it(script: str, cluster_files: Path) -> None:
    subprocess.run(["bash", "-n", str(cluster_files / script)], check=True)
    assert "set -euo pipefail" in (cluster_files / script).read_text()


def run_script(script: Path, folder: Path, *arguments: str) -> tuple[Done, list[str]]:
    """How the script ended, and how it called the commands in `folder` this time."""
    log = folder / "calls"
    log.write_text("")
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["bash", str(script), *arguments], env={"PATH": path}, capture_output=True, text=True)
    return done, log.read_text().splitlines()


def run_gcp(cluster_files: Path, folder: Path, *arguments: str) -> tuple[Done, list[str]]:
    """Run the script with a gcloud that remembers what it has made."""
    shutil.copy(Path(__file__).with_name("pretend_gcloud.py"), folder / "gcloud")
    return run_script(cluster_files / "gcp-account.sh", folder, *arguments)


def test_google_project_is_set_up_closed(cluster_files: Path, tmp_path: Path) -> None:
    done, calls = run_gcp(cluster_files, tmp_path, "some-project", ZONE, "203.0.113.7/32")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(call.startswith("--quiet --project some-project ") for call in calls)
    rules = [call for call in calls if "firewall-rules create" in call]
    assert len(rules) == 2
    assert [rule for rule in rules if "tcp:22" in rule and "--source-ranges=203.0.113.7/32" in rule]
    assert [rule for rule in rules if "--source-tags=bdw" in rule and "--source-ranges" not in rule]
    roles = {match[1] for call in calls for match in re.finditer(r"--role=(\S+)", call)}
    assert roles == {
        "projects/some-project/roles/bdwAutoscaler",
        "roles/iam.serviceAccountUser",
        "roles/storage.objectUser",
        "roles/storage.legacyBucketReader",
    }
    # Acting as another account is allowed for the workers' account, not for the whole project.
    acting = [call for call in calls if "serviceAccountUser" in call]
    assert len(acting) == 1
    assert "service-accounts add-iam-policy-binding bdw-worker@" in acting[0]
    permissions = re.search(r"--permissions=(\S+)", " ".join(calls))
    assert permissions
    assert not [name for name in permissions[1].split(",") if "*" in name or not name.startswith("compute.")]


def test_google_script_runs_again_and_lets_in_another_address_instead(cluster_files: Path, tmp_path: Path) -> None:
    run_gcp(cluster_files, tmp_path, "some-project", ZONE, "203.0.113.7/32")
    done, calls = run_gcp(cluster_files, tmp_path, "some-project", ZONE, "198.51.100.9/32")
    assert (done.returncode, done.stderr) == (0, "")
    assert not [call for call in calls if " create " in call]
    updates = [call for call in calls if " firewall-rules update " in call]
    assert len(updates) == 1
    assert "update bdw-ssh --allow=tcp:22 --source-ranges=198.51.100.9/32 " in updates[0]
    assert not [call for call in calls if "203.0.113.7" in call]


def test_google_script_makes_what_is_missing(cluster_files: Path, tmp_path: Path) -> None:
    """A run that broke off in the middle is completed."""
    run_gcp(cluster_files, tmp_path, "some-project", ZONE, "203.0.113.7/32")
    made = json.loads((tmp_path / "made.json").read_text())
    assert len(made) == 8
    for there in (made[::2], made[1::2]):
        (tmp_path / "made.json").write_text(json.dumps(there))
        done, _ = run_gcp(cluster_files, tmp_path, "some-project", ZONE, "203.0.113.7/32")
        assert done.returncode == 0, done.stderr
        assert sorted(json.loads((tmp_path / "made.json").read_text())) == sorted(made)


def test_google_script_prints_what_the_cluster_file_wants(cluster_files: Path, tmp_path: Path) -> None:
    done, _ = run_gcp(cluster_files, tmp_path, "some-project", "europe-west4-c", "203.0.113.7/32")
    wanted = set(re.findall(r"REPLACE_ME_\w+", (cluster_files / "gcp.yaml").read_text()))
    printed = dict(re.findall(r"^(REPLACE_ME_\w+) +(\S+)$", done.stdout, re.MULTILINE))
    assert printed.keys() == wanted
    assert (printed["REPLACE_ME_REGION"], printed["REPLACE_ME_ZONE"]) == ("europe-west4", "europe-west4-c")
    assert printed["REPLACE_ME_SUBNETWORK"] == "projects/some-project/regions/europe-west4/subnetworks/bdw"


@pytest.mark.parametrize("network", ["0.0.0.0/0", "203.0.113.7", "10.0.0.0/8", "nonsense"])
def test_google_script_lets_nobody_else_in(network: str, cluster_files: Path, tmp_path: Path) -> None:
    done, calls = run_gcp(cluster_files, tmp_path, "some-project", ZONE, network)
    assert done.returncode == 2
    assert network in done.stderr
    assert calls == []


@pytest.mark.parametrize("zone", ["us-central1", "a", "us-central1-a; rm"])
def test_google_script_wants_a_zone(zone: str, cluster_files: Path, tmp_path: Path) -> None:
    done, calls = run_gcp(cluster_files, tmp_path, "some-project", zone, "203.0.113.7/32")
    assert (done.returncode, calls) == (2, [])
    assert f"{zone}: not a zone" in done.stderr


def stub(folder: Path, name: str, body: str = "") -> None:
    """A command that writes down its arguments, separated by tabs, and does what `body` says."""
    file = folder / name
    joined = "printf '%s\\t' " + name + ' "$@" | tr "\\n" " "'
    file.write_text(f"#!/bin/bash\n{{ {joined}; echo; }} >> {folder}/calls\n{body}\n")
    file.chmod(0o755)


def pods_account(cluster_files: Path) -> str:
    account = yaml.safe_load((cluster_files / "kuberay" / "service-account.yaml").read_text())
    name: str = account["metadata"]["name"]
    return name


def test_pods_on_gke_act_as_the_workers_account(cluster_files: Path, tmp_path: Path) -> None:
    for name in ("gcloud", "kubectl"):
        stub(tmp_path, name)
    script = cluster_files / "kuberay" / "gke-identity.sh"
    done, calls = run_script(script, tmp_path, "some-project", "vision")
    assert (done.returncode, done.stderr) == (0, "")
    gcloud, kubectl = (call.strip().split("\t") for call in calls)
    account = pods_account(cluster_files)
    worker = "bdw-worker@some-project.iam.gserviceaccount.com"
    assert gcloud[4:7] == ["iam", "service-accounts", "add-iam-policy-binding"]
    assert gcloud[7:] == [
        worker,
        f"--member=serviceAccount:some-project.svc.id.goog[vision/{account}]",
        "--role=roles/iam.workloadIdentityUser",
    ]
    assert kubectl[1:] == [
        *("--namespace", "vision", "annotate", "--overwrite", "serviceaccount", account),
        f"iam.gke.io/gcp-service-account={worker}",
    ]
    for wrong in (["some-project"], ["some-project", "*"]):
        assert run_script(script, tmp_path, *wrong)[0].returncode == 2


EKS = """case "$*" in
  *get-caller-identity*) echo arn:aws:sts::123456789012:assumed-role/admin/me;;
  *describe-cluster*) echo https://oidc.eks.us-east-1.amazonaws.com/id/ABCDEF;;
  *get-open-id-connect-provider*) test -e provider;;
  *create-open-id-connect-provider*) test ! -e provider && touch provider;;
  *"iam get-role "*) test -e role;;
  *"iam create-role "*) test ! -e role && touch role;;
esac"""


def policy(calls: list[list[str]], option: str) -> dict[str, Any]:
    (text,) = [call[call.index(option) + 1] for call in calls if option in call]
    found: dict[str, Any] = json.loads(text)
    return found


def test_only_the_pods_account_takes_its_role_on_eks(
    cluster_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stub(tmp_path, "aws", EKS)
    stub(tmp_path, "kubectl")
    script, account = cluster_files / "kuberay" / "eks-identity.sh", pods_account(cluster_files)
    done, lines = run_script(script, tmp_path, "prod", "us-east-1", "s3://some-bucket/sweeps", "vision")
    assert (done.returncode, done.stderr) == (0, "")
    calls = [line.strip().split("\t") for line in lines]
    issuer = "oidc.eks.us-east-1.amazonaws.com/id/ABCDEF"
    trust = policy(calls, "--assume-role-policy-document")
    (statement,) = trust["Statement"]
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert statement["Principal"] == {"Federated": f"arn:aws:iam::123456789012:oidc-provider/{issuer}"}
    assert statement["Condition"] == {
        "StringEquals": {
            f"{issuer}:aud": "sts.amazonaws.com",
            f"{issuer}:sub": f"system:serviceaccount:vision:{account}",
        }
    }
    access = policy(calls, "--policy-document")
    for part in access["Statement"]:
        assert not [action for action in part["Action"] if "*" in action]
        assert part["Resource"] in ("arn:aws:s3:::some-bucket", "arn:aws:s3:::some-bucket/*")
    assert calls[-1][-1] == "eks.amazonaws.com/role-arn=arn:aws:iam::123456789012:role/bdw-eks-prod-vision"
    # A simulated AWS, which reads policies as the real one does, takes both.
    with mock_aws():
        iam = boto3.client("iam", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
        iam.create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(trust))
        iam.put_role_policy(RoleName="r", PolicyName="bucket", PolicyDocument=json.dumps(access))


def test_eks_script_runs_again(cluster_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stub(tmp_path, "aws", EKS)
    stub(tmp_path, "kubectl")
    script = cluster_files / "kuberay" / "eks-identity.sh"
    arguments = ("prod", "us-east-1", "some-bucket", "vision")
    assert run_script(script, tmp_path, *arguments)[0].returncode == 0
    done, lines = run_script(script, tmp_path, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    words = " ".join(lines)
    assert "create-role" not in words
    assert "create-open-id-connect-provider" not in words
    assert "update-assume-role-policy" in words


@pytest.mark.parametrize(
    "arguments",
    [
        ("prod", "us-east-1", "some-bucket"),
        ("prod", "us-east-1", "*", "vision"),
        ("prod", "us-east-1", "some-bucket", "*"),
        ("pr*d", "us-east-1", "some-bucket", "vision"),
    ],
)
def test_eks_script_trusts_nobody_else(arguments: tuple[str, ...], cluster_files: Path, tmp_path: Path) -> None:
    stub(tmp_path, "aws", EKS)
    stub(tmp_path, "kubectl")
    done, calls = run_script(cluster_files / "kuberay" / "eks-identity.sh", tmp_path, *arguments)
    assert (done.returncode, calls) == (2, [])
