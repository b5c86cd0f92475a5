"""A watcher beside Ray on a machine that can be taken away: it passes the cloud's notice on, keeps room on the disk,
and leaves when the head is gone.

    python -m sweeps.jobs.spot_notice --cloud aws --head HEAD:6379        started by the files in cluster/

A cloud announces the end of a spot machine two minutes (AWS) or half a minute before. Ray must be told (`ray
drain-node`); then trainers save what they have and continue elsewhere. No autoscaler ends a worker whose head has died,
and it would be paid for without end, so it ends itself.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from bdw.errors import InputError
from sweeps.jobs import disk_space
from sweeps.runner import command_line

PROG = "spot_notice"
POLL_SECONDS = 5.0
ORPHANED_SECONDS = 600.0
DISK_SECONDS = 60.0
SHORT_NOTICE = 30.0
"""Seconds that Google Cloud and Azure give."""
SAFETY = 10.0
"""Seconds before the end at which trainers should have left."""

Fetch = Callable[[str, str, Mapping[str, str]], str | None]
"""Method, path and headers; the body, or None for `no such thing`."""


@dataclass(frozen=True)
class Options:
    """Tell Ray of the end of this machine, and end it when its head is gone."""

    cloud: Literal["aws", "gcp", "azure", "none"] = "none"
    """The cloud whose metadata service is asked for a notice; none: only leave when orphaned."""
    head: str = ""
    """Address of Ray's head, host:port; without it that of RAY_ADDRESS."""
    now: float | None = None
    """Seconds left: tell Ray at once and return (for a hook that something else calls)."""
    metadata: str = ""
    """Address of the metadata service, if not the cloud's own."""


METADATA = {
    "aws": "http://169.254.169.254",
    "azure": "http://169.254.169.254",
    "gcp": "http://metadata.google.internal",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Watch until this machine's end is announced, or it is orphaned and has been told to shut down."""
    options = command_line.parse(Options, arguments, prog=PROG)
    head = options.head or os.environ.get("RAY_ADDRESS", "")
    if not re.fullmatch(r"[^/\s]+:\d+", head):
        raise InputError(f"head: {head!r} is no address; allowed: host:port of Ray's head")
    if options.now is not None:
        drain(head, options.now)
        return
    ask = None if options.cloud == "none" else fetch_from(options.metadata or METADATA[options.cloud])
    alone_since = None
    looked_at_disk = -math.inf
    cache = Path(disk_space.CACHE).expanduser()
    while True:
        if options.cloud != "none" and time.monotonic() - looked_at_disk >= DISK_SECONDS:
            looked_at_disk = time.monotonic()
            for run in disk_space.make_room(cache, share_used=lambda: disk_space.used(cache)):
                print(f"the disk is nearly full: removed {run}, of which the storage has a copy", flush=True)
        left = None if ask is None else seconds_left(options.cloud, ask)
        if left is not None and drain(head, left):
            return
        alone_since = None if raylets() else alone_since or time.monotonic()
        if alone_since is not None and time.monotonic() - alone_since > ORPHANED_SECONDS:
            print("no Ray on this machine for ten minutes: shutting down", flush=True)
            subprocess.run(["sudo", "shutdown", "-h", "now"], check=True)
            return
        time.sleep(POLL_SECONDS)


def fetch_from(address: str) -> Fetch:
    """A function that asks the metadata service at `address`; what it cannot reach counts as `no such thing`."""

    def fetch(method: str, path: str, headers: Mapping[str, str]) -> str | None:
        request = urllib.request.Request(address + path, headers=dict(headers), method=method)
        try:
            with urllib.request.urlopen(request, timeout=2) as answer:
                text: str = answer.read().decode()
                return text
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return None

    return fetch


def seconds_left(cloud: str, fetch: Fetch) -> float | None:
    """Seconds until the cloud takes this machine away; None if it has not said so."""
    if cloud == "aws":
        token = fetch("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
        headers = {"X-aws-ec2-metadata-token": token or ""}
        said = fetch("GET", "/latest/meta-data/spot/instance-action", headers)
        if said is None:
            return None
        end = datetime.fromisoformat(json.loads(said)["time"])
        return max(0.0, (end - datetime.now(UTC)).total_seconds())
    if cloud == "gcp":
        said = fetch("GET", "/computeMetadata/v1/instance/preempted", {"Metadata-Flavor": "Google"})
        return SHORT_NOTICE if said == "TRUE" else None
    said = fetch("GET", "/metadata/scheduledevents?api-version=2020-07-01", {"Metadata": "true"})
    events = json.loads(said)["Events"] if said else []
    return SHORT_NOTICE if any(event["EventType"] == "Preempt" for event in events) else None


def drain(head: str, seconds: float) -> bool:
    """Tell Ray that this machine's raylets end in `seconds`; returns whether there were any and Ray accepted."""
    deadline = max(1, round(seconds - SAFETY))
    print(f"this machine ends in {seconds:.0f} s: telling Ray to leave it within {deadline} s", flush=True)
    told = [subprocess.run(drain_command(head, node, deadline), check=False).returncode for node in raylets()]
    return bool(told) and not any(told)


def drain_command(head: str, node: str, deadline: int) -> list[str]:
    """The command that announces the end of a node; `ray` is that of the running Python."""
    ray = str(Path(sys.executable).with_name("ray"))
    reason = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "the cloud takes the machine away"]
    return [
        *(ray, "drain-node", "--address", head, "--node-id", node),
        *(*reason, "--deadline-remaining-seconds", str(deadline)),
    ]


def raylets(proc: Path = Path("/proc")) -> list[str]:
    """Node ids (hexadecimal) of the raylets that run on this machine."""
    found = []
    for process in proc.glob("[0-9]*"):
        try:
            if (process / "comm").read_text().strip() == "raylet":
                arguments = (process / "cmdline").read_text().split("\0")
                found += [a.removeprefix("--node_id=") for a in arguments if a.startswith("--node_id=")]
        except OSError:
            continue  # It has ended meanwhile.
    return found


if __name__ == "__main__":
    sys.exit(command_line.run(main, prog=PROG))
