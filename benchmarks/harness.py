"""Side-by-side timing as ratios, peak memory, and result files that say where they come from."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import math
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch

from bdw.diagnostics.diagnosis import Diagnosis
from bdw.runs.directory import RunDirectory, git_revision
from bdw.storage.atomic_write import write_text

RESULTS = Path(__file__).parent / "results"
VISIT = ("d_prime", "sign_d_prime", "signal_to_noise")
"""Keys of `signal_of` that benchmarks show in a column each."""


def interleaved_seconds(
    variants: Mapping[str, Callable[[], Any]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of every variant in every round, by that clock, after one warm-up round.

    The variants take turns, so that whatever else the machine does hits all of them alike; only ratios within a round
    mean something.
    """
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for name, run in variants.items():
        run()
        print(f"  warmed up: {name}", flush=True)
    for number in range(1, rounds + 1):
        for name, run in variants.items():
            _wait_for_device()
            began = clock()
            run()
            _wait_for_device()
            seconds[name].append(clock() - began)
        print(f"  round {number} of {rounds} done", flush=True)
    return seconds


def ratio(seconds: Mapping[str, Sequence[float]], variant: str, base: str) -> tuple[float, float, float]:
    """Median, lowest and highest of the ratios variant / base over the rounds."""
    ratios = [a / b for a, b in zip(seconds[variant], seconds[base], strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


def spread(values: Sequence[float | None]) -> str:
    """Mean, lowest and highest in words, of those that are known."""
    known = [value for value in values if value is not None]
    return f"{statistics.mean(known):.3f} ({min(known):.3f} to {max(known):.3f})" if known else "unknown"


def signal_of(run_dir: str | Path) -> dict[str, float | None]:
    """What one visit says in a run with `diagnose_signal`: d', how far it tells useful images from the others, by value
    and by sign, and its signal-to-noise between single images, all in standard deviations of the noise; the cosine of
    successive target directions. None for what cannot be told."""
    found = Diagnosis.from_json(RunDirectory(Path(run_dir)).signal.read_text(encoding="utf-8"))
    values = {name: float(getattr(found, name)) for name in (*VISIT, "cosine")}
    return {name: round(value, 4) if math.isfinite(value) else None for name, value in values.items()}


def peak_megabytes(prepare: Callable[..., Callable[[], Any]], *arguments: Any) -> float:
    """Peak of the resident memory above what was resident before, while `prepare(*arguments)()` runs; Linux, CPU.

    A new process for each call, so that no part profits from memory that another one left to the allocator.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure_peak, args=(sender, prepare, arguments))
    with _memory_given_back_at_once():
        process.start()
    sender.close()
    try:
        return float(receiver.recv())
    except EOFError:
        return float("nan")  # killed, for want of memory
    finally:
        process.join()


@contextlib.contextmanager
def _memory_given_back_at_once() -> Iterator[None]:
    """Let glibc's allocator, in processes that start within, keep nothing that was freed: kept memory hides peaks."""
    variables = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _measure_peak(sender: Any, prepare: Callable[..., Callable[[], Any]], arguments: tuple[Any, ...]) -> None:
    run = prepare(*arguments)
    run()  # code and workspaces that are loaded once are no part of a step
    release_freed_memory()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from what is resident now
    before = resident_kib("VmRSS")
    run()
    sender.send((resident_kib("VmHWM") - before) / 1024)


def release_freed_memory() -> None:
    """Return unused memory to the system, which a run would keep (`bdw.training.allocator`), so that it counts when it
    is taken again; Linux with glibc."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def resident_kib(field: str) -> int:
    """A line of /proc/self/status such as VmRSS, in KiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":"))


def provenance(seed: int) -> dict[str, Any]:
    """Where a result comes from: hardware, versions, command, seed, revision."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": f"{_processor()}, {os.cpu_count()} cores, {_memory_gib():.0f} GiB",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "command": "python -m " + " ".join([_module_name(), *sys.argv[1:]]),
        "seed": seed,
        "git_revision": git_revision(),
    }


def final_scores(run_dir: str | Path) -> dict[str, float]:
    """Metric -> value of a finished run's results table."""
    rows = pq.read_table(RunDirectory(Path(run_dir)).results).to_pylist()
    return {row["metric"]: row["value"] for row in rows}


def write_result(name: str, contents: Mapping[str, Any], *, data_root: str | None = None) -> Path:
    """`results/<name>.json`; returns the path. DIR stands for where the data lay on this machine."""
    path = RESULTS / f"{name}.json"
    text = json.dumps(contents, indent=1) + "\n"
    write_text(path, text if data_root is None else text.replace(json.dumps(data_root)[1:-1], "DIR"))
    print(f"result: {path.relative_to(RESULTS.parent.parent)}")
    return path


def _module_name() -> str:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if spec is not None else Path(sys.argv[0]).name


def _wait_for_device() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
