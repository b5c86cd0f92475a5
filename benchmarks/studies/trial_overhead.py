"""What a trial costs beside its training: from its start in the study to its end, less its epochs' own seconds.

`python -m benchmarks.studies.trial_overhead` runs a sweep of short trials, one after the other, and reads the study.
The first trial of a sweep also waits for its process and the imports; the others take over that process.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import optuna
import tyro
from optuna.trial import FrozenTrial, TrialState

from benchmarks.harness import provenance, write_result
from sweeps.study.open_study import open_storage

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    trials: int = 8
    """Trials of each method."""
    epochs: int = 4
    """Epochs of a trial: its budget as passes over the source."""
    save: bool = False
    """Keep the result in benchmarks/results."""


def main(arguments: Arguments) -> None:
    """Print seconds beside training for the first trial and the others, and keep them if asked to."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "sweeps/stl10_pruning.py", "--smoke", "--data", "digits", "--targets", "digits"),
            *(
                "--samples",
                "1",
                "--epochs",
                str(arguments.epochs),
                "--concurrency",
                "1",
                "--storage-path",
                folder,
                "--name",
                "overhead",
            ),
            *("--seeds", *map(str, range(arguments.trials))),
        ]
        subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        trials = _trials(Path(folder) / "overhead" / "study.journal")
    beside = [_seconds(trial) - trial.user_attrs["wall_seconds"] for trial in trials]
    training = [trial.user_attrs["wall_seconds"] for trial in trials]
    print(f"first trial: {beside[0]:.2f} s beside its training, its process and the imports included")
    print(
        f"{len(beside) - 1} others: median {statistics.median(beside[1:]):.2f} s ({min(beside[1:]):.2f} to "
        f"{max(beside[1:]):.2f}) beside a training of {statistics.median(training):.1f} s"
    )
    if arguments.save:
        contents = {
            **provenance(0),
            "epochs": arguments.epochs,
            "seconds_beside_training": [round(seconds, 3) for seconds in beside],
            "seconds_of_training": [round(seconds, 3) for seconds in training],
        }
        write_result("trial-overhead-cpu", contents)


def _trials(journal: Path) -> list[FrozenTrial]:
    """All complete trials of a sweep's studies, in the order in which they ran."""
    storage = open_storage(journal)
    studies = [optuna.load_study(study_name=name, storage=storage) for name in optuna.get_all_study_names(storage)]
    complete = [trial for study in studies for trial in study.get_trials(states=(TrialState.COMPLETE,))]
    return sorted(complete, key=lambda trial: trial.datetime_start)  # type: ignore[arg-type, return-value]


def _seconds(trial: FrozenTrial) -> float:
    assert trial.datetime_start is not None
    assert trial.datetime_complete is not None
    return (trial.datetime_complete - trial.datetime_start).total_seconds()


if __name__ == "__main__":
    main(tyro.cli(Arguments))
