"""A cluster that grows for a sweep and shrinks after it, on this machine: Ray's autoscaler with its fake provider.

Ray's own `AutoscalingCluster` is not used: its `start()` runs `ray stop --force`, which ends every Ray of the machine,
and the configuration that it reads is not shipped. The autoscaler is told here what `ray up` would tell it; instead of
cloud machines the provider starts further raylets.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Head, StartHead

ROOT = Path(__file__).resolve().parents[3]
MAX_WORKERS = 2
# What the configuration must name although there is nothing to say.
LISTS = [
    *("cluster_synced_files", "rsync_exclude", "rsync_filter", "initialization_commands", "setup_commands"),
    *("head_setup_commands", "worker_setup_commands", "head_start_ray_commands", "worker_start_ray_commands"),
]
NOTHING: dict[str, Any] = {"auth": {}, "docker": {}, "file_mounts": {}} | {name: [] for name in LISTS}
HEAD_TYPE = "ray.head.default"  # The provider knows its head by this name.

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def growing(start_head: StartHead) -> Head:
    """A head that trains nothing itself, and may have up to two machines of two CPUs."""
    return start_head(
        "--num-cpus=0",
        '--resources={"trial_driver": 4}',
        variables={"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"},
        autoscaling=NOTHING
        | {
            "cluster_name": "fake",
            "max_workers": MAX_WORKERS,
            "upscaling_speed": 10.0,
            "idle_timeout_minutes": 0.15,
            "file_mounts_sync_continuously": False,
            "provider": {
                "type": "fake_multinode",
                "use_node_id_as_ip": True,
                # Without these the monitor, which would like to log in to its machines, ends at once.
                "disable_node_updaters": True,
                "disable_launch_config_check": True,
                "head_node_id": "f" * 51 + "00000",
            },
            "head_node_type": HEAD_TYPE,
            "available_node_types": {
                HEAD_TYPE: {"resources": {"CPU": 0, "trial_driver": 4}, "node_config": {}, "max_workers": 0},
                "worker": {
                    "resources": {"CPU": 2, "object_store_memory": 128 * 2**20},
                    "node_config": {},
                    "min_workers": 0,
                    "max_workers": MAX_WORKERS,
                },
            },
        },
    )


def worker_nodes(head: Head) -> set[str]:
    """Ids of the machines that are alive, but for the head."""
    request = urllib.request.Request(
        f"{head.dashboard}/api/v0/nodes?limit=1000",
        headers={"Authorization": f"Bearer {head.environment['RAY_AUTH_TOKEN']}"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        nodes = json.load(answer)["data"]["result"]["result"]
    return {node["node_id"] for node in nodes if node["state"] == "ALIVE" and not node["is_head_node"]}


class Watch:
    """Which machines there were, looked at again and again."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.most = 0

    def look(self, head: Head) -> set[str]:
        alive = worker_nodes(head)
        self.seen |= alive
        self.most = max(self.most, len(alive))
        return alive

    @contextmanager
    def kept_on(self, head: Head) -> Iterator[None]:
        over = threading.Event()

        def keep_looking() -> None:
            while not over.wait(0.5):
                self.look(head)

        watcher = threading.Thread(target=keep_looking)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()


@pytest.mark.parametrize(
    "spread",
    [["--concurrency", "2", "--cpus-per-trial", "2"], ["--num-workers", "2", "--concurrency", "2"]],
    ids=["trials of one worker", "trials of two workers"],
)
def test_machines_come_for_a_sweep_and_leave_after_it(growing: Head, tmp_path: Path, spread: list[str]) -> None:
    watch = Watch()
    assert watch.look(growing) == set()
    with watch.kept_on(growing):
        done = growing.ray_job_submit(
            # These machines share a folder for what is uploaded. Each would unpack it anew, under the others' feet.
            *("--working-dir", f"local://{ROOT}", "--", "python", "sweeps/search.py"),
            *("--source", "digits", "--target", "digits", "--space", "weight_lr=1,10", "epochs=1", "max_source=256"),
            *("--sampler", "grid", "--storage-path", str(tmp_path), "--name", "grown", *spread),
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the cluster has no room for a trial yet" in done.stdout
    assert (tmp_path / "grown" / "report.html").is_file()
    assert watch.seen
    # Well below the three minutes for which Ray keeps the request of a trial that nobody withdrew.
    patience = time.monotonic() + 90
    while watch.look(growing):
        assert time.monotonic() < patience, "machines stay although nothing runs"
        time.sleep(0.5)
    assert watch.most <= MAX_WORKERS
