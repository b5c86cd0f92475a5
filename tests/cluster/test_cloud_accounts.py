"""What is set up in an account before `ray up`: who may come in and what machines may do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml


class Template(yaml.SafeLoader):
    """CloudFormation's YAML: `!Sub text` becomes {"Sub": text}."""


def tagged(loader: Template, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {suffix: loader.construct_scalar(node)}
    assert isinstance(node, yaml.SequenceNode)
    return {suffix: loader.construct_sequence(node, deep=True)}


Template.add_multi_constructor("!", tagged)


@pytest.fixture(scope="module")
def template(cluster_files: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load((cluster_files / "aws-account.yaml").read_text(), Template)
    return loaded


def statements(template: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for resource in template["Resources"].values():
        properties = resource["Properties"]
        if resource["Type"] == "AWS::IAM::ManagedPolicy":
            found += properties["PolicyDocument"]["Statement"]
        for policy in properties.get("Policies", []):
            found += policy["PolicyDocument"]["Statement"]
    assert len(found) == 8
    return found


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_cloudformation_has_no_aliases(cluster_files: Path) -> None:
    """It does not know YAML's `&` and `*`."""
    events = yaml.parse((cluster_files / "aws-account.yaml").read_text(), Template)
    assert not [event for event in events if isinstance(event, yaml.AliasEvent)]


def test_only_one_network_comes_in_by_ssh(template: dict[str, Any]) -> None:
    resources = template["Resources"]
    rules = resources["SecurityGroup"]["Properties"]["SecurityGroupIngress"]
    assert [(rule["FromPort"], rule["ToPort"], rule["CidrIp"]) for rule in rules] == [(22, 22, {"Ref": "SshFrom"})]
    inside = resources["InsideTheCluster"]["Properties"]
    assert inside["SourceSecurityGroupId"] == inside["GroupId"] == {"GetAtt": "SecurityGroup.GroupId"}
    ingress = [name for name, resource in resources.items() if resource["Type"].endswith("SecurityGroupIngress")]
    assert ingress == ["InsideTheCluster"]


@pytest.mark.parametrize(("network", "allowed"), [
    ("203.0.113.7/32", True), ("203.0.0.0/16", True), ("0.0.0.0/0", False), ("10.0.0.0/8", False),
    ("203.0.113.7", False),
])  # fmt: skip
def test_the_world_cannot_be_let_in(network: str, allowed: bool, template: dict[str, Any]) -> None:
    pattern = template["Parameters"]["SshFrom"]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, network)) == allowed
    assert "Default" not in template["Parameters"]["SshFrom"]


def test_roles_may_do_no_more_than_needed(template: dict[str, Any]) -> None:
    for statement in statements(template):
        assert statement["Effect"] == "Allow"
        actions = as_list(statement["Action"])
        assert not [action for action in actions if "*" in action]
        if "*" in as_list(statement["Resource"]):
            # AWS knows no narrower resource for these, and they change nothing.
            assert all(action.startswith("ec2:Describe") for action in actions)
    managed = [resource["Properties"].get("ManagedPolicyArns") for resource in template["Resources"].values()]
    assert [arns for arns in managed if arns] == [[{"Ref": "BucketAccess"}]] * 2


def test_only_the_workers_role_is_handed_on(template: dict[str, Any]) -> None:
    passing = [statement for statement in statements(template) if "iam:PassRole" in as_list(statement["Action"])]
    assert [statement["Resource"] for statement in passing] == [{"GetAtt": "WorkerRole.Arn"}]
    assert "Policies" not in template["Resources"]["WorkerRole"]["Properties"]


@pytest.mark.parametrize("action", ["ec2:RunInstances", "ec2:TerminateInstances"])
def test_machines_of_other_clusters_are_left_alone(action: str, template: dict[str, Any]) -> None:
    about_machines = [
        statement
        for statement in statements(template)
        if action in as_list(statement["Action"]) and ":instance/" in str(statement["Resource"])
    ]
    assert len(about_machines) == 1
    (condition,) = about_machines[0]["Condition"]["StringEquals"].items()
    assert condition[0].endswith("Tag/ray-cluster-name")
    assert condition[1] == {"Ref": "ClusterName"}


def test_names_are_those_of_the_cluster_file(template: dict[str, Any], cluster_files: Path) -> None:
    cluster = yaml.safe_load((cluster_files / "aws.yaml").read_text())
    resources = template["Resources"]
    profiles = {node["node_config"]["IamInstanceProfile"]["Name"] for node in cluster["available_node_types"].values()}
    made = {resources[name]["Properties"]["InstanceProfileName"] for name in ("HeadProfile", "WorkerProfile")}
    assert made == profiles
    assert template["Parameters"]["ClusterName"]["Default"] == cluster["cluster_name"]


def test_bucket_is_private_and_outlives_the_stack(template: dict[str, Any]) -> None:
    bucket = template["Resources"]["Bucket"]
    assert bucket["DeletionPolicy"] == "Retain"
    assert set(bucket["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}
