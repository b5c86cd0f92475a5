"""Early stopping against none: seconds of a search until the same best accuracy, with the same seeds.

`python -m benchmarks.studies.early_stopping` runs the digits search twice for every seed and compares when each first
had a finished trial that was at least as good as the worse of the two bests.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import tyro
from optuna.trial import FrozenTrial, TrialState

from benchmarks.harness import provenance, write_result
from sweeps.study.open_study import SETTLED, open_storage

ROOT = Path(__file__).resolve().parents[2]
VARIANTS = {"early stopping": "--early-stopping", "none": "--no-early-stopping"}


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    seeds: tuple[int, ...] = (0, 1)
    """Seeds of the searches; each runs with and without early stopping."""
    samples: int = 24
    """Trials of a search, published settings (never stopped) among them."""
    epochs: int = 10
    """Epochs of a trial: its budget as passes over the source."""
    concurrency: int = 2
    """Trials side by side."""
    save: bool = False
    """Keep the result in benchmarks/results."""


def main(arguments: Arguments) -> None:
    """Print both searches' seconds for every seed and their ratio, and keep them if asked to."""
    pairs = []
    for number, seed in enumerate(arguments.seeds):
        # The two take turns in coming first, so that a machine that slows down or speeds up favours neither.
        names = sorted(VARIANTS, reverse=bool(number % 2))
        searches = {name: _search(arguments, seed, VARIANTS[name]) for name in names}
        goal = min(max(value for _, value in search["finished"]) for search in searches.values())
        for search in searches.values():
            search["seconds_to_goal"] = next(s for s, value in search["finished"] if value >= goal)
        pairs.append({"seed": seed, "goal": goal, **searches})
        print(f"seed {seed}: accuracy {100 * goal:.1f} % reached", flush=True)
        for name, search in searches.items():
            print(
                f"  {name:14} after {search['seconds_to_goal']:6.1f} s; {search['images']:,} images and "
                f"{search['seconds']:.1f} s in all, best {100 * max(v for _, v in search['finished']):.1f} %",
                flush=True,
            )
    ratios = {
        key: [round(pair["none"][key] / pair["early stopping"][key], 3) for pair in pairs]
        for key in ("seconds_to_goal", "seconds", "images")
    }
    for key, values in ratios.items():
        print(f"{key}: without early stopping {statistics.median(values):.2f} times as many {values}")
    if arguments.save:
        contents = {**provenance(arguments.seeds[0]), **vars(arguments), "ratios": ratios, "searches": pairs}
        write_result("early-stopping-cpu", contents)


def _search(arguments: Arguments, seed: int, flag: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "sweeps/stl10_pruning.py", "--data", "digits", "--targets", "digits"),
            *("--samples", str(arguments.samples)),
            *("--epochs", str(arguments.epochs), "--concurrency", str(arguments.concurrency), flag),
            *("--storage-path", folder, "--name", "search", "--seeds", str(seed)),
        ]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(command, cwd=ROOT, check=True, env=environment, stdout=subprocess.DEVNULL)
        study = optuna.load_study(study_name="search", storage=open_storage(Path(folder) / "search" / "study.journal"))
        trials = study.get_trials(states=SETTLED)
    began = min(trial.datetime_start for trial in trials if trial.datetime_start is not None)
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    finished = sorted((_since(began, trial), float(trial.values[0])) for trial in complete)
    return {
        "seconds": max(_since(began, trial) for trial in trials),
        "images": sum(int(trial.user_attrs["instances_seen"]) for trial in trials),
        "stopped": len(trials) - len(complete),
        "finished": finished,
    }


def _since(began: datetime, trial: FrozenTrial) -> float:
    """Seconds until the trial ended."""
    assert trial.datetime_complete is not None
    return round((trial.datetime_complete - began).total_seconds(), 2)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
