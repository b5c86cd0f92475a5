"""Several gloo workers on the CPU, for tests of what they do together."""

from __future__ import annotations

import multiprocessing
import socket
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def on_workers(world: int, folder: Path, task: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Run the task on so many processes; their results in rank order."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder.mkdir(exist_ok=True)
    # The fork server imports torch once for all workers of all tests; forking the test process itself, with its
    # threads, would be asking for deadlocks.
    multiprocessing.set_forkserver_preload(["bdw.training.trainer", "torch.distributed"])
    mp.start_processes(_worker, (world, port, task, str(folder), arguments), nprocs=world, start_method="forkserver")
    results = [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(world)]
    for result in results:
        assert not isinstance(result, dict) or "error" not in result, result["error"]
    return results


def _worker(
    rank: int, world: int, port: int, task: Callable[..., Any], folder: str, arguments: tuple[Any, ...]
) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    try:
        result = task(*arguments)
    except Exception:
        result = {"error": traceback.format_exc()}
    finally:
        dist.destroy_process_group()
    torch.save(result, Path(folder) / f"{rank}.pt")
