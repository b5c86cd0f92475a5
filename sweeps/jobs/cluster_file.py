"""Check a cluster file before it costs money: nothing left to fill in, nothing that Ray would refuse.

    python -m sweeps.jobs.cluster_file cluster/aws.yaml

Prints what the cluster is made of and which parts of it are paid for; exit status 2 and one line for what cannot work.
Of manifests for Kubernetes and tasks of SkyPilot only unfilled values are found; `kubectl apply --dry-run=server` and
`sky launch --dryrun` check the rest.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from bdw.errors import InputError, unknown_option
from bdw.parallel import gpu
from sweeps.runner import command_line

PROG = "cluster_file"
PROVIDERS = ("aws", "azure", "gcp", "local")
PLACEHOLDER = re.compile(r"REPLACE_ME\w*")
COMMENT = re.compile(r"(?:^|\s)#\s*")

Config = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """Check a cluster file: what is left to fill in, Ray's own rules, the files that it would copy."""

    file: tyro.conf.Positional[Path]
    """A cluster file for `ray up` (cluster/aws.yaml), a manifest for Kubernetes, or a task of SkyPilot."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a summary of the file; raises `InputError` for what cannot work."""
    file = command_line.parse(Options, arguments, prog=PROG).file
    documents = read(file)
    if any("apiVersion" in document for document in documents):
        print(f"{file}: nothing left to fill in; `kubectl apply --dry-run=server -f {file}` checks the rest")
        return
    if {"resources", "run"} <= documents[0].keys():
        print(f"{file}: nothing left to fill in; `sky launch --dryrun {file}` checks the rest")
        return
    if len(documents) != 1:
        raise InputError(f"{file}: holds {len(documents)} documents; allowed: one")
    config = prepared(documents[0], file)
    require_mounts(documents[0], file)
    require_driver(config, file)
    print("\n".join(summary(config)))


def read(file: Path) -> list[Config]:
    """The YAML documents of a file. Raises `InputError` if it cannot be read or has something left to fill in."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    _require_filled_in(text, file)
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{file}{line}: is no YAML that can be used: {error.problem}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{file}: is no YAML that can be used: {_one_line(error)}") from error
    if not documents or not all(isinstance(document, dict) for document in documents):
        raise InputError(f"{file}: is no cluster file; allowed: names with values, as in cluster/aws.yaml")
    return documents


def placeholders(text: str) -> Iterator[tuple[int, str, str]]:
    """Line number, name and the line's own comment, which says what to put there; comments may name placeholders."""
    for number, line in enumerate(text.splitlines(), 1):
        value, *comment = COMMENT.split(line, maxsplit=1)
        for name in PLACEHOLDER.findall(value):
            yield number, name, "".join(comment).strip()


def _require_filled_in(text: str, file: Path) -> None:
    found = list(placeholders(text))
    if found:
        line, name, comment = found[0]
        more = [str(other) for other in sorted({number for number, _, _ in found} - {line})]
        raise InputError(
            f"{file}:{line}: {name} must be replaced by a value of yours: {comment or 'see cluster/README.md'}"
            + (f" (and so in line {', '.join(more)})" if more else "")
        )


def prepared(config: Config, file: Path) -> Config:
    """The config with Ray's defaults, as `ray up` would use it. Raises `InputError` for what Ray refuses."""
    provider = config.get("provider")
    if not isinstance(provider, dict):
        raise InputError(f"{file}: provider: missing; allowed: a type ({', '.join(PROVIDERS)}) and what goes with it")
    if provider.get("type") not in PROVIDERS:
        raise unknown_option(f"{file}: provider.type", str(provider.get("type")), PROVIDERS)
    # Ray's defaults would install a nightly build of Ray and open the dashboard to the network.
    for name in ("setup_commands", "head_start_ray_commands", "worker_start_ray_commands"):
        if not config.get(name):
            raise InputError(f"{file}: {name}: missing, and Ray's default is not safe; take that of cluster/aws.yaml")
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            complete: Config = prepare_config(config)
            validate_config(complete)
    except Exception as error:  # Ray has no class for what it refuses.
        where = getattr(error, "json_path", "").removeprefix("$").lstrip(".")
        what = getattr(error, "message", "") or str(error) or said.getvalue() or type(error).__name__
        raise InputError(f"{file}: {where}{': ' if where else ''}{_one_line(what)}") from error
    return complete


def require_mounts(config: Mapping[str, Any], file: Path) -> None:
    """Raises `InputError` if a file that would be copied to the machines is not here."""
    for remote, local in (config.get("file_mounts") or {}).items():
        path = Path(str(local)).expanduser()
        if path.exists():
            continue
        if path.name == "auth_token":
            advice = "make one: ray get-auth-token --generate"
        else:
            advice = "run this in the repository's root" if not path.is_absolute() else "name a file that is"
        raise InputError(f"{file}: file_mounts: {local} (for {remote}) is not there; {advice}")


def require_driver(config: Mapping[str, Any], file: Path) -> None:
    """Raises `InputError` if an image's name says that its NVIDIA driver is older than torch wants; names of other
    images say nothing."""
    named = re.findall(r"[\w./-]*\bnvidia-(\d{3})\b", str(config.get("available_node_types", "")))
    for version in named:
        if gpu.is_too_old(version):
            raise InputError(
                f"{file}: sourceImage: an image with NVIDIA's driver {version}; allowed: one with "
                f"{gpu.wanted_driver()} or newer, for torch {torch.__version__} with CUDA {torch.version.cuda}"
            )


def summary(config: Mapping[str, Any]) -> list[str]:
    """Lines that say what runs when, and what is paid for. `config` is as Ray prepared it."""
    provider, head_type = config["provider"], config["head_node_type"]
    lines = [f"{config['cluster_name']} on {provider['type']}: Ray accepts it"]
    if provider["type"] == "local":
        workers = ", ".join(provider["worker_ips"]) or "none"
        return [
            *lines,
            f"  head    {provider['head_ip']}",
            f"  workers {workers}",
            "  costs   nothing but power",
        ]
    types = config["available_node_types"]
    lines.append(f"  head    {_machine(types[head_type])}: from `ray up` until `ray down`, busy or not")
    for name, node_type in types.items():
        if name != head_type and node_type["max_workers"]:
            most = min(node_type["max_workers"], config["max_workers"])
            lines.append(
                f"  {name:7} {_machine(node_type)}: {node_type['min_workers']} to {most}; one that is idle for "
                f"{config['idle_timeout_minutes']:g} minutes leaves"
            )
    lines.append("  costs   machines while they are up, their disks and addresses; then only what lies in the bucket")
    if any(node_type["min_workers"] for node_type in types.values()):
        lines.append("  note    min_workers is above 0: those machines are paid for although nothing runs")
    return lines


def _machine(node_type: Mapping[str, Any]) -> str:
    """The machine's name at its cloud, and whether it is a spot machine, which is cheap and can be taken away."""
    node = node_type["node_config"]
    azure = node.get("azure_arm_parameters", {})
    kind = node.get("InstanceType") or node.get("machineType") or azure.get("vmSize") or "unknown machine"
    scheduling = node.get("scheduling") or {}
    for part in scheduling if isinstance(scheduling, list) else [scheduling]:
        if part.get("preemptible") or part.get("provisioningModel") == "SPOT":
            return f"{kind}, spot"
    spot = node.get("InstanceMarketOptions", {}).get("MarketType") == "spot" or azure.get("priority") == "Spot"
    return f"{kind}, {'spot' if spot else 'on demand'}"


def _one_line(said: object) -> str:
    return " ".join(str(said).split())


if __name__ == "__main__":
    sys.exit(command_line.run(main, prog=PROG))
