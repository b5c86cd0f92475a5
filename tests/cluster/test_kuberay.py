"""The manifests for Kubernetes against the OpenAPI schema of KubeRay's custom resources, and for what is left open."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.cluster import kuberay_schemas

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = {"RayCluster": "kuberay/raycluster.yaml", "RayJob": "kuberay/rayjob.yaml"}

Filled = Callable[..., str]


@pytest.fixture(scope="session")
def schemas() -> dict[str, Any]:
    """JSON schema by kind."""
    return {kind: strict(schema, at_root=True) for kind, schema in kuberay_schemas.kept().items()}


def test_the_schemas_are_those_of_kuberay() -> None:
    """Where KubeRay's own files are at hand; what the tests use was made of them."""
    folder = Path(os.environ.get("BDW_KUBERAY_SCHEMAS", ROOT.parent / "shared" / "schemas" / "kuberay"))
    if not folder.is_dir():
        pytest.skip(f"KubeRay's files not found at {folder}; set BDW_KUBERAY_SCHEMAS to run this test")
    made, kept = kuberay_schemas.made_of(folder), kuberay_schemas.KEPT.read_bytes()
    assert gzip.decompress(made) == gzip.decompress(kept)


def test_other_files_are_not_taken_for_kuberays(tmp_path: Path) -> None:
    (tmp_path / "ray.io_rayclusters.yaml").write_text("spec: {versions: []}\n")
    with pytest.raises(ValueError, match=r"ray.io_rayclusters.yaml: SHA-256 .*; allowed: .*, that of KubeRay's commit"):
        kuberay_schemas.made_of(tmp_path)


def strict(schema: Any, *, at_root: bool = False) -> Any:
    """OpenAPI's dialect as JSON schema, with unknown fields refused, which the server would silently drop."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    new = {key: value for key, value in schema.items() if not key.startswith("x-kubernetes")}
    if schema.get("x-kubernetes-int-or-string"):
        new = {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    if new.pop("nullable", False) is True and isinstance(new.get("type"), str):
        new["type"] = [new["type"], "null"]
    for key in ("items", "additionalProperties", "anyOf", "allOf", "oneOf", "not"):
        if key in new:
            new[key] = strict(new[key])
    if isinstance(new.get("properties"), dict):
        # What is called metadata at the root is a type of Kubernetes itself, which the definition leaves open.
        new["properties"] = {
            name: {"type": "object"} if at_root and name == "metadata" else strict(value)
            for name, value in new["properties"].items()
        }
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            new.setdefault("additionalProperties", False)
    return new


def manifests(filled: Filled, kind: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(filled(MANIFESTS[kind])))


def manifest(filled: Filled, kind: str) -> dict[str, Any]:
    (found,) = [document for document in manifests(filled, kind) if document["kind"] == kind]
    return found


def cluster_spec(filled: Filled, kind: str) -> dict[str, Any]:
    spec: dict[str, Any] = manifest(filled, kind)["spec"]
    return spec["rayClusterSpec"] if kind == "RayJob" else spec


def pods(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield spec["headGroupSpec"]["template"]["spec"]
    for group in spec["workerGroupSpecs"]:
        yield group["template"]["spec"]


@pytest.mark.parametrize("kind", MANIFESTS)
def test_kuberay_accepts_it(kind: str, schemas: dict[str, Any], filled: Filled) -> None:
    jsonschema.Draft202012Validator(schemas[kind]).validate(manifest(filled, kind))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (("enableInTreeAutoscalling",), True),
        (("autoscalerOptions", "version"), "v3"),
        (("authOptions", "mode"), "tokens"),
        (("headGroupSpec", "rayStartParams", "num-cpus"), 0),
        (("headGroupSpec", "template", "spec", "container"), []),
    ],
)
def test_the_schema_finds_mistakes(field: tuple[str, ...], value: Any, schemas: dict[str, Any], filled: Filled) -> None:
    """Otherwise the test above would mean little."""
    wrong = manifest(filled, "RayCluster")
    place = wrong["spec"]
    for name in field[:-1]:
        place = place[name]
    place[field[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schemas["RayCluster"]).validate(wrong)


@pytest.mark.parametrize("kind", MANIFESTS)
def test_autoscaler_brings_and_takes_workers(kind: str, filled: Filled) -> None:
    spec = cluster_spec(filled, kind)
    assert spec["enableInTreeAutoscaling"] is True
    assert spec["autoscalerOptions"]["version"] == "v2"
    assert 0 < spec["autoscalerOptions"]["idleTimeoutSeconds"] <= 900
    (group,) = spec["workerGroupSpecs"]
    assert group["minReplicas"] == group["replicas"] == 0
    assert group["maxReplicas"] > 0


@pytest.mark.parametrize("kind", MANIFESTS)
def test_head_trains_nothing_and_seats_drivers(kind: str, filled: Filled) -> None:
    parameters = cluster_spec(filled, kind)["headGroupSpec"]["rayStartParams"]
    assert parameters["num-cpus"] == "0"
    # The operator puts the value between `--resources=` and the next option of a shell command.
    assert json.loads(json.loads(parameters["resources"])) == {"trial_driver": 64}


@pytest.mark.parametrize("kind", MANIFESTS)
def test_closed_and_without_privileges(kind: str, filled: Filled) -> None:
    spec = cluster_spec(filled, kind)
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert "LoadBalancer" not in filled(MANIFESTS[kind])
    for pod in pods(spec):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 1000
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }
            assert not container["image"].endswith(":latest")
    assert spec["autoscalerOptions"]["securityContext"]["allowPrivilegeEscalation"] is False
    assert spec["workerGroupSpecs"][0]["template"]["spec"]["automountServiceAccountToken"] is False


def test_nobody_else_reaches_a_standing_cluster(filled: Filled) -> None:
    documents = {document["kind"]: document for document in manifests(filled, "RayCluster")}
    own = {"matchLabels": {"ray.io/cluster": documents["RayCluster"]["metadata"]["name"]}}
    policy = documents["NetworkPolicy"]["spec"]
    assert policy == {"podSelector": own, "policyTypes": ["Ingress"], "ingress": [{"from": [{"podSelector": own}]}]}
    assert documents["RayCluster"]["spec"]["headGroupSpec"]["rayStartParams"]["dashboard-host"] == "127.0.0.1"


@pytest.mark.parametrize("kind", MANIFESTS)
def test_the_pods_account_is_one_that_is_applied_before(kind: str, filled: Filled) -> None:
    (account,) = yaml.safe_load_all(filled("kuberay/service-account.yaml"))
    assert account["kind"] == "ServiceAccount"
    assert {pod["serviceAccountName"] for pod in pods(cluster_spec(filled, kind))} == {account["metadata"]["name"]}
    # Deleting a job or a cluster leaves it to the others.
    assert [document["kind"] for document in manifests(filled, kind)].count("ServiceAccount") == 0


@pytest.mark.parametrize("kind", MANIFESTS)
def test_pods_ask_for_the_disk_that_they_fill(kind: str, filled: Filled) -> None:
    head, worker = (pod["containers"][0]["resources"]["requests"] for pod in pods(cluster_spec(filled, kind)))
    assert (head["ephemeral-storage"], worker["ephemeral-storage"]) == ("20Gi", "50Gi")


@pytest.mark.parametrize("kind", MANIFESTS)
def test_shared_memory_is_memory_and_fits_the_pod(kind: str, filled: Filled) -> None:
    for pod in pods(cluster_spec(filled, kind)):
        (volume,) = pod["volumes"]
        assert volume["emptyDir"]["medium"] == "Memory"
        (container,) = pod["containers"]
        assert container["volumeMounts"] == [{"name": volume["name"], "mountPath": "/dev/shm"}]
        gigabytes = [int(text.removesuffix("Gi")) for text in (
            volume["emptyDir"]["sizeLimit"], container["resources"]["limits"]["memory"])]  # fmt: skip
        assert gigabytes[0] < gigabytes[1] / 2


@pytest.mark.parametrize("kind", MANIFESTS)
def test_workers_are_on_spot_nodes_and_the_head_is_not(kind: str, filled: Filled) -> None:
    head, worker = pods(cluster_spec(filled, kind))
    wanted, avoided = (
        [term["matchExpressions"] for term in pod["affinity"]["nodeAffinity"][
            "requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]]
        for pod in (worker, head)
    )  # fmt: skip
    # Terms are alternatives, the expressions of one are not.
    assert all(len(expressions) == 1 and expressions[0]["operator"] == "In" for expressions in wanted)
    assert len(avoided) == 1
    assert {one["operator"] for one in avoided[0]} == {"NotIn"}
    spots = {(one["key"], *one["values"]) for expressions in wanted for one in expressions}
    assert {(one["key"], *one["values"]) for one in avoided[0]} == spots
    assert {"cloud.google.com/gke-spot", "kubernetes.azure.com/scalesetpriority", "nvidia.com/gpu"} == {
        toleration["key"] for toleration in worker["tolerations"]
    }
    assert worker["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"


@pytest.mark.parametrize("kind", MANIFESTS)
def test_workers_tell_ray_of_their_end(kind: str, filled: Filled) -> None:
    head, worker = pods(cluster_spec(filled, kind))
    hook = worker["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert hook == ["bash", "-c", "python -m sweeps.jobs.spot_notice --now 30; sleep 20"]
    assert worker["terminationGracePeriodSeconds"] > 30
    assert "lifecycle" not in head["containers"][0]


def test_a_job_leaves_nothing_behind(filled: Filled) -> None:
    spec = manifest(filled, "RayJob")["spec"]
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["ttlSecondsAfterFinished"] <= 600
    assert spec["activeDeadlineSeconds"] > 0
    words = spec["entrypoint"].split()
    assert words[:2] == ["python", "sweeps/stl10_pruning.py"]
    assert (ROOT / words[1]).is_file()


@pytest.mark.parametrize("kind", MANIFESTS)
def test_ray_is_the_version_of_the_image(kind: str, filled: Filled) -> None:
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    assert f"ray=={cluster_spec(filled, kind)['rayVersion']}" in pins
