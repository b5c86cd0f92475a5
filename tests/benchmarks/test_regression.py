"""Two revisions of a small repository, whose `bdw fit` takes as long as its source says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bdw.errors import InputError, RunError
from benchmarks import regression

FIT = """
import csv, pathlib, sys
folder = pathlib.Path(sys.argv[sys.argv.index("--run-dir") + 1])
epochs = int(sys.argv[sys.argv.index("--epochs") + 1])
folder.mkdir(parents=True)
with open(folder / "metrics.csv", "w", newline="") as file:
    rows = csv.writer(file)
    rows.writerow(["epoch", "seconds", "wall_seconds"])
    for epoch in range(1, epochs + 1):
        rows.writerow([epoch, 9 if epoch == 1 else SECONDS, 9 + SECONDS * (epoch - 1) + 0.5 * epoch])
"""


def _git(repository: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", repository, *identity, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Tags: `old` takes 1 s an epoch, `new` 2 s, `broken` cannot run; the files as they are take 0.5 s."""
    folder = tmp_path / "repository"
    (folder / "bdw").mkdir(parents=True)
    (folder / "bdw" / "__init__.py").touch()  # Or the package that is installed is the one that `-m bdw` finds.
    _git(folder, "init", "--quiet")
    main = folder / "bdw" / "__main__.py"
    for tag, text in (("old", FIT.replace("SECONDS", "1")), ("new", FIT.replace("SECONDS", "2")), ("broken", "1 / 0")):
        main.write_text(text)
        _git(folder, "add", "-A")
        _git(folder, "commit", "--quiet", "-m", tag)
        _git(folder, "tag", tag)
    main.write_text(FIT.replace("SECONDS", "0.5"))
    return folder


@pytest.mark.parametrize(
    ("base", "head", "status", "ratio"),
    [("old", "new", 1, "2.00"), ("new", "old", 0, "0.50"), ("old", "old", 0, "1.00"), ("old", None, 0, "0.50")],
)
def test_compares_the_seconds_of_two_revisions(
    repository: Path, capsys: pytest.CaptureFixture[str], base: str, head: str | None, status: int, ratio: str
) -> None:
    # A wide margin: the parts that the clock measures here, the start of Python, vary.
    arguments = regression.Arguments(base=base, head=head, rounds=2, tolerance=1.5)
    assert regression.main(arguments, repository) == status
    lines = capsys.readouterr().out.splitlines()
    (steps,) = [line for line in lines if line.startswith("plain, steps of an epoch")]
    assert steps.split()[-4 if status else -3] == ratio
    (between,) = [line for line in lines if line.startswith("pretext, between epochs")]
    assert between.split()[-3:] == ["1.00", "1.00", "1.00"]
    assert len(_git(repository, "worktree", "list").splitlines()) == 1, "nothing is left behind"


@pytest.mark.parametrize(("base", "head"), [("never", None), ("old", "never"), ("--all", None)])
def test_what_is_no_revision_is_said_before_anything_runs(repository: Path, base: str, head: str | None) -> None:
    with pytest.raises(InputError, match=r"(base|head): '(never|--all)' is no revision .* allowed: a commit"):
        regression.main(regression.Arguments(base=base, head=head), repository)


def test_a_run_that_fails_is_said(repository: Path) -> None:
    with pytest.raises(RunError, match=r"a run of head ended with status 1: ZeroDivisionError"):
        regression.main(regression.Arguments(base="old", head="broken", rounds=1), repository)
    assert len(_git(repository, "worktree", "list").splitlines()) == 1


@pytest.mark.parametrize(
    ("base", "head", "slower"),
    [
        ([1.0, 1.0, 1.0], [1.2, 1.2, 1.2], True),
        ([1.0, 1.0, 1.0], [1.1, 1.1, 1.1], False),  # within the tolerance
        ([1.0, 1.0, 1.0], [1.4, 1.4, 0.9], False),  # not in every round
        ([1.0, 1.0, 1.0], [0.5, 0.5, 0.5], False),
    ],
)
def test_slower_means_beyond_tolerance_and_noise(base: list[float], head: list[float], slower: bool) -> None:
    assert regression.is_slower({"base": base, "head": head}, 1.15) is slower


@pytest.mark.parametrize(("field", "value"), [("rounds", 0), ("epochs", 1), ("tolerance", 0.9)])
def test_bad_arguments_are_refused(field: str, value: float) -> None:
    with pytest.raises(InputError, match=rf"{field}: {value} cannot work; allowed"):
        regression.Arguments(**{"base": "HEAD", field: value})  # type: ignore[arg-type]
