"""Runs whose workers, nodes or drivers are killed at random times must end where an undisturbed run ends.

`python -m benchmarks.chaos` starts a cluster of several nodes on this machine, trains once in peace and then again and
again with one SIGKILL each, and compares digests of everything that a run leaves behind but its times.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import psutil
import safetensors.torch
import torch
import tyro
from ray.cluster_utils import Cluster

from bdw.config import run_fields
from bdw.config.fields import Mark
from bdw.runs import checkpoint
from bdw.runs.metrics import TIMED, EpochReport
from benchmarks.harness import provenance, write_result
from benchmarks.processes import title, wait_until

Victim = Literal["worker", "node", "driver"]
NOBODY = "nobody, since the run had ended"
VICTIMS: tuple[Victim, ...] = ("worker", "node", "driver")
ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 500.0
"""Seconds for a run to begin, or to end."""
PAUSE = 0.05
"""Seconds between two looks."""


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    runs: int = 30
    """Disturbed runs."""
    nodes: int = 3
    """Nodes beside the head; a run takes two."""
    seed: int = 0
    """Seed of victims and times."""
    save: bool = False
    """Keep the log in benchmarks/results."""


FLAGS = (
    *("--preset", "digits", "--num-workers", "2", "--epochs", "5", "--max-source", "1500", "--batch-size", "32"),
    *("--shots", "2", "--queries", "2", "--weight-lr", "100", "--cdf-threshold", "0.4", "--min-kept", "300"),
    *("--checkpoint-minutes", "0.01", "--no-report", "--start-timeout", "60"),
)
"""A small fit that prunes, saves about every second and takes several."""


class Arena:
    """A Ray cluster of this machine's own: a head without CPUs and nodes with one each."""

    def __init__(self, folder: Path, nodes: int):
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                "temp_dir": str(folder),
                "include_dashboard": True,
                "dashboard_port": _free_port(),
                "object_store_memory": 128 * 2**20,
            },
        )
        self._nodes: list[Any] = []
        self._doomed: list[Any] = []
        self._size = nodes
        self.refill()

    @property
    def address(self) -> str:
        """For RAY_ADDRESS."""
        return str(self._cluster.address)

    def refill(self) -> None:
        """Start nodes in the place of dead and doomed ones."""
        while self._doomed:
            self._cluster.remove_node(self._doomed.pop(), allow_graceful=False)
        while len(self._nodes) < self._size:
            self._nodes.append(self._cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20))
        self._cluster.wait_for_nodes()

    def workers(self) -> list[psutil.Process]:
        """The training workers that are alive now."""
        return [process for node in self._nodes for process in _training_workers(node)]

    def kill_node(self, chance: random.Random) -> str:
        """Kill the raylet of a node that trains, and with it all that runs there."""
        node = chance.choice([node for node in self._nodes if _training_workers(node)])
        self._nodes.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)
        return f"raylet of node {node.node_id[:8]}"

    def drain_node(self, chance: random.Random, seconds: int) -> str:
        """Announce that a node that trains will be taken away in this number of seconds; returns its id."""
        node = chance.choice([node for node in self._nodes if _training_workers(node)])
        subprocess.run(
            [
                *(sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--address", self.address),
                *("--node-id", node.node_id, "--reason", "DRAIN_NODE_REASON_PREEMPTION"),
                *("--reason-message", "a test", "--deadline-remaining-seconds", str(seconds)),
            ],
            check=True,
            capture_output=True,
        )
        # It gets no more work and dies when its time is up.
        self._nodes.remove(node)
        self._doomed.append(node)
        return str(node.node_id)

    def shut_down(self) -> None:
        """Stop what was started, and nothing else."""
        self._cluster.shutdown()


@contextmanager
def folder_for_ray() -> Iterator[Path]:
    """A folder for a `ray.cluster_utils.Cluster` for the length of the block, a short one: socket paths may not have
    more than 107 bytes.

    Such a cluster notes its address in Ray's usual folder, where others look for theirs, and fails where no Ray has
    made that folder yet. In the block, the usual one is in this one.
    """
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    (folder / "ray").mkdir()
    with patch.dict(os.environ, RAY_TMPDIR=str(folder)):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_arena(nodes: int) -> Iterator[Arena]:
    """An arena for the length of the block."""
    # Only this process's children use it, and only on this machine.
    private = patch.dict(os.environ, RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0")
    with folder_for_ray() as folder, private:
        arena = Arena(folder, nodes)
        try:
            yield arena
        finally:
            arena.shut_down()


class Driver:
    """`python -m bdw fit` on the arena, in a process of its own."""

    def __init__(self, arena: Arena, run_dir: Path, flags: Sequence[str]):
        self.run_dir = run_dir
        self._command = [sys.executable, "-m", "bdw", "fit", "--run-dir", str(run_dir), *flags]
        # As a submitted job tells its driver: all nodes see this folder. Ray's nodes on one machine would share the
        # place where each of them unpacks an uploaded copy, and delete it under each other's workers.
        here = {"runtime_env": {"working_dir": f"local://{ROOT}"}}
        self._environment = {
            **os.environ,
            "RAY_ADDRESS": arena.address,
            "RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps(here),
            "PYTHONPATH": str(ROOT),
        }
        self._log = run_dir.with_suffix(".log")
        self._process = self._start(self._command)

    def has_trained(self) -> bool:
        """Whether there is a checkpoint, so that there is something to lose."""
        return checkpoint.last(self.run_dir / "checkpoints") is not None

    def is_alive(self) -> bool:
        """Whether the driver has not ended."""
        return self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL, without any chance to tidy up."""
        self._process.kill()
        self._process.wait()

    def start_again(self) -> None:
        """The same command, with --resume."""
        self._process = self._start([*self._command, "--resume"])

    def ask_to_end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """SIGTERM, or SIGINT as Ctrl-C sends it."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """The exit status; `subprocess.TimeoutExpired` after `PATIENCE` seconds."""
        return self._process.wait(PATIENCE)

    def said(self) -> str:
        """What it has printed so far."""
        return self._log.read_text(encoding="utf-8")

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(command, env=self._environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)


@dataclass(frozen=True)
class Disturbance:
    """One disturbed run."""

    victim: str
    killed: str
    after_seconds: float
    """Since the first checkpoint."""
    at: str
    """The newest checkpoint at that time."""
    seconds: float
    """From the start of the driver to its end, in all."""
    ended: bool
    same: bool
    """Whether it ended where the undisturbed run did."""


def train_undisturbed(arena: Arena, run_dir: Path, flags: Sequence[str] = FLAGS) -> float:
    """Train in peace; seconds from the first checkpoint to the end. `RuntimeError` with its output if that fails."""
    driver = Driver(arena, run_dir, flags)
    wait_until(lambda: driver.has_trained() or not driver.is_alive(), seconds=PATIENCE, pause=PAUSE)
    began = time.monotonic()
    if driver.wait() != 0:
        raise RuntimeError(f"the undisturbed run failed:\n{driver.said()}")
    return time.monotonic() - began


def train_disturbed(
    arena: Arena,
    run_dir: Path,
    expected: str,
    victim: Victim,
    delay: float,
    chance: random.Random,
    flags: Sequence[str] = FLAGS,
) -> tuple[Disturbance, str]:
    """Train, kill the victim `delay` seconds after the first checkpoint, wait for the end; and all that was printed."""
    began = time.monotonic()
    driver = Driver(arena, run_dir, flags)
    wait_until(lambda: driver.has_trained() or not driver.is_alive(), seconds=PATIENCE, pause=PAUSE)
    time.sleep(delay)
    wait_until(lambda: bool(arena.workers()) or not driver.is_alive(), seconds=PATIENCE, pause=PAUSE)
    newest = checkpoint.positions(run_dir / "checkpoints")
    if not driver.is_alive():
        killed = NOBODY
    elif victim == "worker":
        process = chance.choice(arena.workers())
        process.kill()
        killed = f"worker process {process.pid}"
    elif victim == "node":
        killed = arena.kill_node(chance)
    else:
        driver.kill()
        killed = "driver"
        driver.start_again()
    status = driver.wait()
    arena.refill()
    found = digest(run_dir) if status == 0 else "none"
    return (
        Disturbance(
            victim=victim,
            killed=killed,
            after_seconds=round(delay, 2),
            at=str(newest[-1]) if newest else "nothing",
            seconds=round(time.monotonic() - began, 1),
            ended=status == 0,
            same=found == expected,
        ),
        driver.said(),
    )


def digest(run_dir: Path) -> str:
    """Digest of all that a finished run leaves behind but its times: the last state, the tables, the encoder."""
    last = checkpoint.last(run_dir / "checkpoints")
    assert last is not None
    state = checkpoint.load(last)
    state["config"] = {k: v for k, v in state["config"].items() if not run_fields()[k].marks & {Mark.FREE, Mark.LENGTH}}
    state["history"] = [{k: v for k, v in row.items() if k not in TIMED} for row in state["history"]]
    del state["wall_seconds"]
    found = hashlib.sha256()
    for piece in _pieces(state):
        found.update(piece)
    found.update((run_dir / "instance_weights.parquet").read_bytes())
    # By content: the file's header names its entries in any order.
    for piece in _pieces(safetensors.torch.load_file(run_dir / "encoder.safetensors")):
        found.update(piece)
    with (run_dir / "metrics.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found.update(repr([value for name, value in row.items() if name not in TIMED]).encode())
    return found.hexdigest()


def main(arguments: Arguments) -> None:
    """Train in peace, then disturbed; print a line each, and keep the log if asked to."""
    chance = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name, running_arena(arguments.nodes) as arena:
        folder = Path(name)
        length = train_undisturbed(arena, folder / "peace")
        expected = digest(folder / "peace")
        print(f"undisturbed: {length:.1f} s from the first checkpoint to the end, digest {expected[:16]}", flush=True)
        log: list[dict[str, Any]] = []
        while len(log) < arguments.runs:
            victim, delay = VICTIMS[len(log) % len(VICTIMS)], chance.uniform(0, 0.9 * length)
            result, said = train_disturbed(arena, folder / "run", expected, victim, delay, chance)
            shutil.rmtree(folder / "run")
            if result.killed == NOBODY:
                # The machine has become faster; what was not disturbed does not count.
                length *= 0.9
                continue
            log.append(asdict(result))
            verdict = "same digest" if result.same else f"DIFFERENT\n{said}"
            print(
                f"{len(log):>3}/{arguments.runs}  killed {result.killed} after {result.at}  "
                f"{result.seconds:.0f} s  {verdict}",
                flush=True,
            )
        same = sum(result["same"] for result in log)
        print(f"{same} of {len(log)} runs ended with the digest of the undisturbed one")
        if arguments.save:
            contents = {
                **provenance(arguments.seed),
                "fit": " ".join(FLAGS),
                "nodes": arguments.nodes,
                "epochs_of_the_undisturbed_run": _epochs(folder / "peace"),
                "digest": expected,
                "same": same,
                "runs": log,
            }
            write_result("chaos-cpu", contents)


def _epochs(run_dir: Path) -> list[Mapping[str, Any]]:
    """Steps and kept images of every epoch: that the run pruned, and that there was something to interrupt."""
    last = checkpoint.last(run_dir / "checkpoints")
    assert last is not None
    reports = [EpochReport.from_row(row) for row in checkpoint.load(last)["history"]]
    return [{"epoch": r.epoch, "steps": r.steps, "kept": r.kept, "seconds": round(r.seconds, 2)} for r in reports]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _training_workers(node: Any) -> list[psutil.Process]:
    found = []
    for raylet in node.all_processes.get("raylet", []):
        try:
            children = psutil.Process(raylet.process.pid).children()
        except psutil.NoSuchProcess:
            continue
        found += [child for child in children if "RayTrainWorker" in title(child)]
    return found


def _pieces(value: Any) -> Iterator[bytes]:
    if isinstance(value, torch.Tensor):
        yield value.detach().cpu().contiguous().numpy().tobytes()
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield str(key).encode()
            yield from _pieces(value[key])
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _pieces(item)
    else:
        yield repr(value).encode()


if __name__ == "__main__":
    main(tyro.cli(Arguments))
