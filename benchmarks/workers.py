"""What a step costs on one worker of Ray Train against the plain loop, a run of each in turns."""

from __future__ import annotations

import csv
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import tyro

from benchmarks.harness import provenance, ratio, write_result

VARIANTS = {"plain": [], "one worker": ["--num-workers", "1"]}


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    preset: str = "digits"
    """Settings of both runs."""
    rounds: int = 6
    """Runs of each."""
    epochs: int = 8
    """Epochs of a run; the first is left out."""
    save: bool = False
    """Keep the result in benchmarks/results."""


def main(arguments: Arguments) -> None:
    """Run both in turns, print milliseconds a step and their ratio, and keep them if asked to."""
    milliseconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.rounds):
            # The two take turns in coming first, so that a machine that slows down or speeds up favours neither.
            for name in sorted(VARIANTS, reverse=bool(number % 2)):
                run_dir = Path(folder) / f"{name}-{number}"
                took = _milliseconds_per_step(run_dir, arguments, VARIANTS[name])
                milliseconds[name].append(took)
                print(f"round {number + 1} of {arguments.rounds}  {name:10} {took:6.2f} ms a step", flush=True)
    median, low, high = ratio(milliseconds, "one worker", "plain")
    print(f"a step of one worker takes {median:.3f} times as long as a plain one ({low:.3f} to {high:.3f})")
    if arguments.save:
        contents = {
            **provenance(0),
            "epochs_of_a_run": arguments.epochs,
            "milliseconds_per_step": {name: [round(ms, 3) for ms in values] for name, values in milliseconds.items()},
            "ratio": {"median": round(median, 3), "lowest": round(low, 3), "highest": round(high, 3)},
            "ratio_of_lowest": round(min(milliseconds["one worker"]) / min(milliseconds["plain"]), 3),
        }
        write_result("one-worker-cpu", contents)


def _milliseconds_per_step(run_dir: Path, arguments: Arguments, flags: list[str]) -> float:
    """The median over the epochs but the first, of a run with these flags, on one thread."""
    command = [
        *(sys.executable, "-m", "bdw", "fit", "--preset", arguments.preset, "--run-dir", str(run_dir), "--no-report"),
        *("--epochs", str(arguments.epochs), "--evaluate-every", str(arguments.epochs), "--no-prune"),
        *("--checkpoint-every", str(arguments.epochs), *flags),
    ]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)
    with (run_dir / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[1:]
    return statistics.median(1000 * float(row["seconds"]) / int(row["steps"]) for row in rows)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
