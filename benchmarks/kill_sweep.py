"""A sweep that is killed at random moments and started again must end where an undisturbed one ends.

`python -m benchmarks.kill_sweep` runs a grid of short trials in peace, then again with SIGKILLs of its driver, of a
trial's process and of Ray's head, and compares every trial's values, epoch by epoch.
"""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
import psutil
import tyro
from optuna.trial import FrozenTrial, TrialState

from bdw.runs.metrics import TIMED
from benchmarks.grid_sweep import LARGEST
from benchmarks.harness import provenance, write_result
from benchmarks.processes import title, wait_until
from sweeps.study.open_study import open_storage

Victim = Literal["driver", "trial", "head", "starting driver"]
VICTIMS: tuple[Victim, ...] = ("driver", "trial", "head", "starting driver")
PROCESS_NAMES = {"trial": "ray::ImplicitFunc", "head": "gcs_server"}
ROOT = Path(__file__).resolve().parents[1]
NAME = "grid"
PATIENCE = 600.0
"""Seconds for a driver to begin, or to end."""
PAUSE = 0.3
"""Seconds between two looks, each of which costs the sweep some CPU time."""
NOTHING = "nothing: the sweep had ended"
MOST_STARTS = 10
"""Most starts of a driver after the last kill; one or two should do."""


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    trials: int = LARGEST
    """Trials of the grid."""
    kills: int = 20
    epochs: int = 5
    """Epochs of each trial."""
    max_source: int = 4000
    """Images of an epoch: enough that work is left at the last kill."""
    concurrency: int = 2
    """Trials side by side."""
    seed: int = 0
    """Seed of the moments."""
    save: bool = False
    """Keep the log in benchmarks/results."""


Values = tuple[float, dict[int, float], int, list[list[str]]]
"""What a complete trial found: its value, its epochs' values, the instances that it saw, and all of metrics.csv but
times."""
Checkpoints = dict[str, tuple[int, int]]
"""Path of a checkpoint's state -> the file's number and time: whatever is written again gets others."""


class Driver:
    """The sweep's driver, in a process of its own."""

    def __init__(self, folder: Path, arguments: Arguments):
        self._folder = folder
        self._command = [
            *(sys.executable, "-m", "benchmarks.grid_sweep", "--storage-path", str(folder), "--name", NAME),
            *("--samples", str(arguments.trials), "--epochs", str(arguments.epochs)),
            *("--max-source", str(arguments.max_source)),
            *("--targets", "digits", "--concurrency", str(arguments.concurrency)),
            # Trials share CPUs, so that there are some side by side on any machine.
            *("--cpus-per-trial", str((os.cpu_count() or 1) / arguments.concurrency)),
        ]
        # Ray's processes wait a minute for a head that is gone; here it does not come back.
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_gcs_rpc_server_reconnect_timeout_s": "10"}
        self._started: list[psutil.Process] = []
        self.start()

    def start(self) -> None:
        """Start it, for the first time or again."""
        with (self._folder / "driver.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
            )

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL, without any chance to tidy up."""
        self._remember()
        self._process.kill()
        self._process.wait()

    def wait(self) -> int:
        """The exit status; `subprocess.TimeoutExpired` if it does not end."""
        return self._process.wait(PATIENCE)

    def parts(self, kind: str) -> list[psutil.Process]:
        """Ray's processes of that kind, of the driver that lives now."""
        return [process for process in self._remember() if PROCESS_NAMES[kind] in title(process)]

    def said(self) -> str:
        """What all its lives have printed."""
        return (self._folder / "driver.log").read_text(encoding="utf-8")

    def tidy_up(self) -> None:
        """End what is left of it and of its Rays, and nothing else."""
        self._remember()
        self._process.kill()
        self._process.wait()
        _, alive = psutil.wait_procs(self._started, timeout=10)
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def _remember(self) -> list[psutil.Process]:
        """All processes below the driver that lives now; once it is dead they have another parent, or none."""
        try:
            below: list[psutil.Process] = psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        known = set(self._started)
        self._started += [process for process in below if process not in known]
        return below


@dataclass(frozen=True)
class Kill:
    """One kill."""

    victim: str
    killed: str
    after_seconds: float
    """Since the driver was at work (a driver that starts: since it was started)."""
    complete: int
    """Trials at that moment."""
    unfinished: dict[str, int]
    """Run -> epochs saved, of those that had begun."""


@dataclass(frozen=True)
class Outcome:
    """What all kills have left."""

    complete: int
    lost: int
    """Cells without a complete trial."""
    doubled: int
    """Runs with more than one."""
    unfinished: int
    """Trials that are neither complete, nor pruned, nor failed."""
    different: int
    """Complete trials with other values than the undisturbed one's, be it in a single epoch."""
    epochs_saved_twice: int
    """Epochs that were trained again although their checkpoint was there."""
    epochs_reported_unsaved: int
    """Epochs that the study knew of at a kill and that were not in a checkpoint."""
    same_best: bool
    starts: int
    """Starts of the driver, in all."""
    reasons: dict[str, int]
    """Why trials failed, and how many."""

    @property
    def is_flawless(self) -> bool:
        """At most the epochs that were under way when something was killed have been trained a second time."""
        flaws = (self.lost, self.doubled, self.unfinished, self.different, self.epochs_saved_twice)
        return not any(flaws) and not self.epochs_reported_unsaved and self.same_best


@contextmanager
def driving(folder: Path, arguments: Arguments) -> Iterator[Driver]:
    """A driver that is gone after the block, and Ray with it."""
    folder.mkdir(parents=True)
    driver = Driver(folder, arguments)
    try:
        yield driver
    finally:
        driver.tidy_up()


def sweep_in_peace(folder: Path, arguments: Arguments) -> tuple[float, float]:
    """Seconds until the first trial's process is there, and from then to the end. `RuntimeError` if that fails."""
    with driving(folder, arguments) as driver:
        began = time.monotonic()
        _wait_for_trials(driver, seconds=PATIENCE)
        at_work = time.monotonic()
        if driver.wait() != 0 or len(complete_trials(folder)) < arguments.trials:
            raise RuntimeError(f"the undisturbed sweep failed:\n{driver.said()}")
        return at_work - began, time.monotonic() - at_work


def sweep_with_kills(
    folder: Path, arguments: Arguments, peace: Path, lengths: tuple[float, float], say: Callable[[str], None] = print
) -> tuple[list[Kill], Outcome, str]:
    """Kill, start again, and in the end let it finish; the kills, what they have left, and all that was printed.

    `lengths` are those of the undisturbed sweep in `peace`: moments are drawn so that work is left at the last kill.
    """
    chance = random.Random(arguments.seed)
    start, work = lengths
    kills: list[Kill] = []
    checkpoints: list[Checkpoints] = []
    unsaved, starts = 0, 1
    with driving(folder, arguments) as driver:
        for number in range(arguments.kills):
            victim = VICTIMS[number % len(VICTIMS)]
            if victim == "starting driver":
                driver.kill()
                driver.start()
                starts += 1
                # A start that is quicker than the first one is over when a trial's process is there.
                began, seconds = time.monotonic(), chance.uniform(0, start)
                with suppress(TimeoutError):
                    _wait_for_trials(driver, seconds=seconds)
                delay = time.monotonic() - began
            else:
                _wait_for_trials(driver, seconds=PATIENCE)
                delay = chance.uniform(0, 0.8 * work / arguments.kills)
                time.sleep(delay)
            killed = _kill(driver, victim, chance)
            checkpoints.append(saved_checkpoints(folder))
            state = _unfinished(folder)
            unsaved += sum(max(0, reported - saved) for reported, saved in state.values())
            unfinished = {run: saved for run, (_, saved) in state.items()}
            kills.append(Kill(victim, killed, round(delay, 2), len(complete_trials(folder)), unfinished))
            progress = f"{kills[-1].complete} complete, epochs saved of those begun {list(unfinished.values())}"
            say(f"{number + 1:>3}/{arguments.kills}  killed {killed}: {progress}")
            if not driver.is_alive():
                driver.start()
                starts += 1
        while driver.wait() != 0 or len(complete_trials(folder)) < arguments.trials:
            if starts > arguments.kills * 2 + MOST_STARTS:
                break
            driver.start()
            starts += 1
        said = driver.said()
    return kills, _outcome(folder, arguments.trials, peace, checkpoints, unsaved, starts), said


def _wait_for_trials(driver: Driver, *, seconds: float) -> None:
    """Until a trial's process is there or the driver has ended; `TimeoutError` after so many seconds."""
    wait_until(lambda: bool(driver.parts("trial")) or not driver.is_alive(), seconds=seconds, pause=PAUSE)


def _kill(driver: Driver, victim: Victim, chance: random.Random) -> str:
    """Kill it, and wait for what dies of it; what was killed, in words."""
    if victim in ("driver", "starting driver"):
        if not driver.is_alive():
            return NOTHING
        driver.kill()
        return "the driver" if victim == "driver" else "the driver while it started"
    # A driver that has just lost a trial's process starts another one.
    wait_until(lambda: bool(driver.parts(victim)) or not driver.is_alive(), seconds=PATIENCE, pause=PAUSE)
    processes = driver.parts(victim)
    if not processes:
        return NOTHING
    with suppress(psutil.NoSuchProcess):
        chance.choice(processes).kill()
    if victim == "head":
        driver.wait()
        return "Ray's head"
    return "a trial's process"


def trials_of(folder: Path) -> list[FrozenTrial]:
    """The study's trials; none if it is not there yet."""
    journal = folder / NAME / "study.journal"
    if not journal.exists():
        return []
    try:
        return optuna.load_study(study_name=NAME, storage=open_storage(journal)).get_trials()
    except KeyError:
        return []


def complete_trials(folder: Path) -> list[FrozenTrial]:
    """The complete trials."""
    return [trial for trial in trials_of(folder) if trial.state == TrialState.COMPLETE]


def saved_checkpoints(folder: Path) -> Checkpoints:
    """All that are there."""
    found = {}
    for path in folder.glob(f"{NAME}/runs/*/checkpoints/epoch_*/state.pt"):
        with suppress(FileNotFoundError):
            status = path.stat()
            found[str(path)] = (status.st_ino, status.st_mtime_ns)
    return found


def _unfinished(folder: Path) -> dict[str, tuple[int, int]]:
    """Run -> epochs that the study knows of, and epochs in checkpoints; of the trials that are running."""
    running = [trial for trial in trials_of(folder) if trial.state == TrialState.RUNNING and "run" in trial.user_attrs]
    # After the study: an epoch is saved before it is reported. Every epoch has a value of its own there: it has a best
    # score, and is more than a thousandth of the budget.
    saved = Counter(Path(path).parents[2].name for path in saved_checkpoints(folder))
    return {
        trial.user_attrs["run"]: (len(trial.intermediate_values), saved[trial.user_attrs["run"]]) for trial in running
    }


def _outcome(
    folder: Path, num_trials: int, peace: Path, checkpoints: list[Checkpoints], unsaved: int, starts: int
) -> Outcome:
    trials, complete = trials_of(folder), complete_trials(folder)
    found, expected = _by_cell(folder), _by_cell(peace)
    last = saved_checkpoints(folder)
    twice = {path for before in checkpoints for path, identity in before.items() if last.get(path) != identity}
    failed = [str(trial.user_attrs.get("reason")) for trial in trials if trial.state == TrialState.FAIL]
    runs = Counter(trial.user_attrs["run"] for trial in complete)
    return Outcome(
        complete=len(complete),
        lost=num_trials - len(found),
        doubled=sum(number > 1 for number in runs.values()),
        unfinished=sum(not trial.state.is_finished() for trial in trials),
        different=sum(found[cell] != expected[cell] for cell in found),
        epochs_saved_twice=len(twice),
        epochs_reported_unsaved=unsaved,
        same_best=_best(found) == _best(expected),
        starts=starts,
        reasons=dict(Counter(failed)),
    )


def _by_cell(folder: Path) -> dict[str, Values]:
    return {
        json.dumps(trial.params, sort_keys=True): (
            trial.values[0],
            trial.intermediate_values,
            trial.user_attrs["instances_seen"],
            _metrics(folder / NAME / "runs" / trial.user_attrs["run"] / "metrics.csv"),
        )
        for trial in complete_trials(folder)
    }


def _metrics(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [[value for name, value in row.items() if name not in TIMED] for row in csv.DictReader(file)]


def _best(found: Mapping[str, Values]) -> str:
    """The cell of the best value; of several, the first in the alphabet."""
    return min(found, key=lambda cell: (-found[cell][0], cell))


def main(arguments: Arguments) -> None:
    """Sweep in peace, then with kills; print a line each, and keep the log if asked to."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start, work = sweep_in_peace(folder / "peace", arguments)
        print(f"undisturbed: {arguments.trials} trials in {work:.0f} s, after {start:.0f} s of starting", flush=True)
        began = time.monotonic()
        kills, outcome, said = sweep_with_kills(folder / "kills", arguments, folder / "peace", (start, work), _print)
        seconds = time.monotonic() - began
        print(f"{outcome.complete} of {arguments.trials} trials complete after {len(kills)} kills and {seconds:.0f} s")
        print("flawless" if outcome.is_flawless else f"NOT flawless\n{said}", asdict(outcome), sep="\n")
        if arguments.save:
            contents: dict[str, Any] = {
                **provenance(arguments.seed),
                "arguments": asdict(arguments),
                "undisturbed_seconds": {"start": round(start, 1), "work": round(work, 1)},
                "seconds": round(seconds, 1),
                "flawless": outcome.is_flawless,
                "outcome": asdict(outcome),
                "kills": [asdict(kill) for kill in kills],
            }
            write_result("kill-sweep-cpu", contents)
    if not outcome.is_flawless:
        sys.exit(1)


def _print(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
