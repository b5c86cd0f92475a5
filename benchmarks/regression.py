"""Is this repository slower than it was? Two revisions in turns: `python -m benchmarks.regression --base REV`.

    python -m benchmarks.regression --base HEAD~20                # against the files as they are now
    python -m benchmarks.regression --base v0.3 --head v0.4 --rounds 9

Each revision is checked out into a folder of its own and trains small digits runs by `python -m bdw fit`, the interface
that all revisions have, in processes of its own. Seconds are the run's own, from its metrics.csv. Exit status 1: some
part of the newer one is slower by more than the tolerance and in every round; 2: the question makes no sense, or a run
failed.
"""

from __future__ import annotations

import contextlib
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from bdw.errors import InputError, RunError
from benchmarks.harness import ratio

REPOSITORY = Path(__file__).resolve().parents[1]
RUNS: dict[str, tuple[str, ...]] = {
    "plain": ("--weighter", "uniform"),
    "prototype": ("--meta-loss", "prototype", "--no-prune"),
    "pretext": ("--meta-loss", "pretext", "--no-prune"),
}
"""What is trained, by options of `python -m bdw fit` that every revision knows."""
BASE, HEAD = "base", "head"


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    base: str
    """The older revision: a commit, branch or tag."""
    head: str | None = None
    """The newer one; default: the files of this checkout as they are, changes included."""
    rounds: int = 7
    """How often each run is made; the revisions take turns. With fewer, chance alone may say slower."""
    epochs: int = 4
    """Epochs of every run; the first is left out of the seconds of steps."""
    tolerance: float = 1.15
    """How many times slower is too slow."""

    def __post_init__(self) -> None:
        for name, least in (("rounds", 1), ("epochs", 2)):
            if getattr(self, name) < least:
                raise InputError(f"{name}: {getattr(self, name)} cannot work; allowed: at least {least}")
        if not self.tolerance >= 1:
            raise InputError(f"tolerance: {self.tolerance} cannot work; allowed: 1 or more")


def main(arguments: Arguments, repository: Path = REPOSITORY) -> int:
    """Print head's seconds over base's for every part, median and range; returns the exit status, 0 or 1.

    Raises `InputError` for what is no revision, before anything runs, and `RunError` if a run fails.
    """
    commits = {BASE: _commit(repository, "base", arguments.base)}
    if arguments.head is not None:
        commits[HEAD] = _commit(repository, "head", arguments.head)
    for name in (BASE, HEAD):
        print(f"{name}: {commits.get(name, 'this checkout as it is')}")
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folders = {HEAD: repository}
        for name, commit in commits.items():
            folders[name] = stack.enter_context(_worktree(repository, commit, scratch / name))
        seconds: dict[str, dict[str, list[float]]] = {}
        for number in range(arguments.rounds):
            # The revisions take turns in coming first, so that warm caches help both alike.
            for name in (BASE, HEAD) if number % 2 == 0 else (HEAD, BASE):
                for run, options in RUNS.items():
                    parts = _seconds(folders[name], options, arguments.epochs, scratch / f"{name}-{run}-{number}")
                    for part, value in parts.items():
                        seconds.setdefault(f"{run}, {part}", {BASE: [], HEAD: []})[name].append(value)
            print(f"  round {number + 1} of {arguments.rounds} done", flush=True)
    slower = [part for part, measured in seconds.items() if is_slower(measured, arguments.tolerance)]
    print(f"\n{'seconds':24} {'base':>8} {'head':>8} {'ratio':>6} {'lowest':>7} {'highest':>7}")
    for part, measured in seconds.items():
        medians = [statistics.median(measured[name]) for name in (BASE, HEAD)]
        median, low, high = ratio(measured, HEAD, BASE)
        mark = "  slower" if part in slower else ""
        print(f"{part:24} {medians[0]:8.3f} {medians[1]:8.3f} {median:6.2f} {low:7.2f} {high:7.2f}{mark}")
    print(f"slower than {arguments.tolerance} times the base: {'; '.join(slower) or 'nothing'}")
    return 1 if slower else 0


def is_slower(measured: Mapping[str, Sequence[float]], tolerance: float) -> bool:
    """Whether head took more than `tolerance` times base's seconds in the median, and longer in every round."""
    median, low, _ = ratio(measured, HEAD, BASE)
    return median > tolerance and low > 1


def _commit(repository: Path, field: str, revision: str) -> str:
    command = ["git", "-C", str(repository), "rev-parse", "--verify", "--quiet", "--end-of-options"]
    found = subprocess.run([*command, f"{revision}^{{commit}}"], capture_output=True, text=True, check=False)
    if found.returncode:
        raise InputError(f"{field}: {revision!r} is no revision of this repository; allowed: a commit, branch or tag")
    return found.stdout.strip()


@contextlib.contextmanager
def _worktree(repository: Path, commit: str, folder: Path) -> Iterator[Path]:
    git = ["git", "-C", str(repository), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(folder), commit], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def _seconds(folder: Path, options: Sequence[str], epochs: int, run_dir: Path) -> dict[str, float]:
    """Seconds of one run's parts: a later epoch's steps (median), evaluation and files, and everything before and
    after (imports, data)."""
    fit = [sys.executable, "-m", "bdw", "fit", "--preset", "digits"]
    command = [*fit, "--epochs", str(epochs), "--device", "cpu", "--no-report"]
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    began = time.perf_counter()
    done = subprocess.run(
        [*command, "--run-dir", str(run_dir), *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    whole = time.perf_counter() - began
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise RunError(f"a run of {folder.name} ended with status {done.returncode}: {last}")
    with (run_dir / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    steps = [float(row["seconds"]) for row in rows]
    inside = float(rows[-1]["wall_seconds"])
    return {
        "steps of an epoch": statistics.median(steps[1:]),
        "between epochs": (inside - sum(steps)) / len(rows),
        "start and end": whole - inside,
    }


if __name__ == "__main__":
    try:
        sys.exit(main(tyro.cli(Arguments, description=__doc__)))
    except (InputError, RunError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
