"""What a sweep says: plain lines, a sign of life every few seconds and an honest summary; on a terminal a table."""

from __future__ import annotations

import io
import pickle
import re
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from bdw.evaluation import measure
from sweeps.runner.progress import SweepProgress

ACCURACY = measure("accuracy")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def progress(clock: Clock, said: io.StringIO) -> SweepProgress:
    console = Console(file=said, force_terminal=False, width=60)
    return SweepProgress("search", measure=ACCURACY, num_trials=2, console=console, clock=clock)


def trial(name: str) -> Any:
    return SimpleNamespace(trial_id=name, config={"labels": {"title": f"eta {name}"}})


def cell(number: int, seed: int = 0) -> Any:
    labels = {"title": f"BDW on digits, seed {seed}", "method": "BDW", "domain": "digits"}
    return SimpleNamespace(trial_id=str(number), config={"labels": labels, "number": number})


def row(epoch: int, accuracy: float = 0.5, *, of: int = 4, **more: Any) -> dict[str, Any]:
    """An epoch of 10 s, of so many equally long ones."""
    own = {"epoch": epoch, "budget_share": epoch / of, "validation_score": accuracy, "kept_fraction": 0.9}
    own["best_validation_score"] = accuracy
    return {**own, "images_per_second": 1234.5, "wall_seconds": 10.0 * epoch, **more}


def test_lines_of_a_whole_stage(progress: SweepProgress, said: io.StringIO, clock: Clock) -> None:
    good, bad = trial("1"), trial("2")
    with progress:
        clock.now = 5.0
        progress.on_step_end(0, [])
        for started in (good, bad):
            progress.on_trial_start(0, [], started)
        progress.on_trial_result(0, [], good, row(1))
        clock.now = 10.0
        progress.on_trial_result(0, [], bad, row(1, float("nan")))
        clock.now = 20.0
        progress.on_step_end(0, [])
        progress.on_trial_complete(0, [], bad)
        progress.on_trial_result(0, [], good, row(4, 0.75))
        progress.on_trial_result(0, [], good, row(4, 0.75, ended=True))
        progress.on_trial_complete(0, [], good)
    assert said.getvalue().splitlines() == [
        "search  the first trial is starting  0:05",
        "search  eta 1  epoch 1, 25 % of the budget  accuracy 50.0 %  kept 90 %  1,234 images/s  0:30 left",
        "search  eta 2  epoch 1, 25 % of the budget  accuracy not measured  kept 90 %  1,234 images/s  0:30 left",
        "search  0 complete of 2  2 running  best accuracy 50.0 %  0:20 since the start  about 0:20 left",
        "search  eta 2  stopped early after epoch 1",
        "search  eta 1  epoch 4, 100 % of the budget  accuracy 75.0 %  kept 90 %  1,234 images/s",
        "search  1 complete, 1 pruned of 2  0 running  best accuracy 75.0 %  0:20 since the start",
    ]


def test_the_best_so_far_never_falls(progress: SweepProgress, said: io.StringIO, clock: Clock) -> None:
    """Neither when a trial becomes worse after its best evaluation, nor in an epoch without one, nor when it ends."""
    first, second = trial("1"), trial("2")
    shown = []

    def hear(heard: Any, reported: dict[str, Any]) -> None:
        progress.on_trial_result(0, [], heard, reported)
        clock.now += 60.0
        progress.on_step_end(0, [])
        (best,) = re.findall(r"best accuracy ([\d.]+) %", said.getvalue().splitlines()[-1])
        shown.append(float(best))

    with progress:
        hear(first, row(1, 0.8, best_validation_score=0.8))
        hear(first, row(2, 0.3, best_validation_score=0.8))
        hear(second, row(1, 0.6, best_validation_score=0.6))
        hear(first, row(3, float("nan"), best_validation_score=0.8))
        hear(second, row(2, 0.9, best_validation_score=0.9))
        hear(second, row(3, 0.1, best_validation_score=0.9))
        hear(second, row(3, 0.1, best_validation_score=0.9, ended=True))
    assert shown == [80.0, 80.0, 80.0, 80.0, 90.0, 90.0, 90.0]


def test_a_continued_sweep_begins_with_the_best_of_its_earlier_trials(said: io.StringIO, clock: Clock) -> None:
    console = Console(file=said, force_terminal=False, width=60)
    with SweepProgress("s", measure=ACCURACY, num_trials=5, console=console, best_so_far=0.7, clock=clock) as progress:
        for accuracy in (0.6, 0.8):
            progress.on_trial_result(0, [], trial(str(accuracy)), row(1, accuracy))
            clock.now += 60.0
            progress.on_step_end(0, [])
    shown = re.findall(r"best accuracy ([\d.]+) %", said.getvalue())
    assert shown == ["70.0", "80.0", "80.0"]


def pending(name: str) -> Any:
    return SimpleNamespace(**vars(trial(name)), status="PENDING")


def test_trials_that_wait_for_machines_are_not_called_running(said: io.StringIO, clock: Clock) -> None:
    """One worker a trial: Tune waits for its machine."""
    console = Console(file=said, force_terminal=False, width=60)
    first, second, third = pending("1"), pending("2"), pending("3")
    with SweepProgress("s", measure=ACCURACY, num_trials=4, console=console, wants="1 GPU", clock=clock) as progress:
        for clock.now, trials in ((5.0, [first]), (12.0, [first]), (21.0, [first])):
            progress.on_step_end(0, trials)
        first.status = "RUNNING"
        progress.on_trial_start(0, [], first)
        for clock.now in (30.0, 60.0):
            progress.on_step_end(0, [first, second, third])
    assert said.getvalue().splitlines()[:-1] == [
        "s  the first trial is starting  0:05",
        "s  the first trial is starting  0:12",
        "s  the first trial is waiting for 1 GPU  0:21",
        "s  0 complete of 4  1 running  3 waiting  0:30 since the start",
        "s  0 complete of 4  1 running  2 waiting for 1 GPU  1 waiting  1:00 since the start",
    ]


def test_trials_whose_workers_wait_for_machines_are_not_called_running(
    progress: SweepProgress, said: io.StringIO, clock: Clock
) -> None:
    """Several workers a trial: the trial runs, and waits for them."""
    first, second = trial("1"), trial("2")
    with progress:
        for started in (first, second):
            progress.on_trial_start(0, [], started)
            progress.on_trial_result(0, [], started, {"waiting_for": "2 CPUs"})
        clock.now = 10.0
        progress.on_step_end(0, [])
        progress.on_trial_result(0, [], first, {"waiting_for": ""})
        clock.now = 20.0
        progress.on_step_end(0, [])
        progress.on_trial_result(0, [], second, row(1))
        progress.on_trial_result(0, [], second, {"waiting_for": "2 CPUs", "train_run_id": "x"})  # A worker died.
        clock.now = 36.0
        progress.on_step_end(0, [])
        progress.on_trial_result(0, [], second, row(2))
        clock.now = 60.0
        progress.on_step_end(0, [])
    states = [line.split("  ")[2:4] for line in said.getvalue().splitlines() if "since the start" in line]
    assert states == [
        ["2 running", "0:10 since the start"],
        ["1 running", "1 waiting for 2 CPUs"],
        ["1 running", "1 waiting for 2 CPUs"],
        ["2 running", "best accuracy 50.0 %"],
        ["2 running", "best accuracy 50.0 %"],
    ]


def test_short_epochs_leave_a_line_only_with_an_evaluation_or_after_a_while(
    progress: SweepProgress, said: io.StringIO, clock: Clock
) -> None:
    with progress:
        for epoch in range(1, 101):
            clock.now = epoch / 10
            measured = 0.5 if epoch % 25 == 0 else float("nan")
            progress.on_trial_result(0, [], trial("1"), row(epoch, measured, of=100))
    lines = [line for line in said.getvalue().splitlines() if "of the budget" in line]
    # Evaluations at 2.5, 5, 7.5 and 10 s, so that nothing is silent for longer than 5 s between them.
    assert [line.split("epoch ")[1].split(",")[0] for line in lines] == ["25", "50", "75", "100"]
    assert lines[0].startswith("search  eta 1  epoch 25, 25 % of the budget  accuracy 50.0 %")


def test_failures_say_why(progress: SweepProgress, said: io.StringIO) -> None:
    first, second = trial("1"), trial("2")
    with progress:
        progress.on_trial_start(0, [], first)
        progress.on_trial_result(0, [], first, {"failure": "NonFiniteError: loss"})
        progress.on_trial_complete(0, [], first)
        progress.on_trial_error(0, [], second)
    assert "search  eta 1  NonFiniteError: loss\n" in said.getvalue()
    assert "search  eta 2  crashed; the reason will stand in trials.csv\n" in said.getvalue()
    assert "2 failed of 2" in said.getvalue()


def test_signs_of_life_become_rarer(progress: SweepProgress, said: io.StringIO, clock: Clock) -> None:
    with progress:
        for second in range(7200):
            clock.now = float(second)
            progress.on_step_end(0, [])
    assert 300 < len(said.getvalue().splitlines()) < 900


def test_waiting_trials_take_the_places_that_become_free(said: io.StringIO, clock: Clock) -> None:
    console = Console(file=said, force_terminal=False, width=60)
    with SweepProgress("s", measure=ACCURACY, num_trials=5, console=console, clock=clock) as progress:
        for started in (cell(0), cell(1)):
            progress.on_trial_start(0, [], started)
        progress.on_trial_result(0, [], cell(0), row(3))
        progress.on_trial_result(0, [], cell(1), row(1))
        clock.now = 5.0
        progress.on_step_end(0, [])
    # By hand: 5 s and 25 s are left of the two; three more take 40 s each: 5 + 40, 25 + 40, 45 + 40.
    assert "2 running  3 waiting" in said.getvalue()
    assert "about 1:25 left" in said.getvalue()


class Screen:
    """What a terminal shows of what was written to it; knows the few control sequences that the table needs."""

    def __init__(self, written: str) -> None:
        self.lines = [""]
        """From the top of all that scrolled by."""
        row = column = 0
        for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|.", written, re.DOTALL):
            if part == "\n":
                row, column = row + 1, 0
                self.lines += [""] * (row + 1 - len(self.lines))
            elif part == "\r":
                column = 0
            elif part == "\x1b[1A":
                row -= 1
            elif part == "\x1b[2K":
                self.lines[row] = ""
            elif not part.startswith("\x1b"):
                self.lines[row] = self.lines[row][:column].ljust(column) + part + self.lines[row][column + 1 :]
                column += 1

    def __contains__(self, text: str) -> bool:
        return any(text in line for line in self.lines)


@pytest.fixture
def terminal() -> Console:
    return Console(
        file=io.StringIO(), force_terminal=True, width=90, height=12, color_system=None, legacy_windows=False
    )


def shown(terminal: Console) -> Screen:
    file = terminal.file
    assert isinstance(file, io.StringIO)
    return Screen(file.getvalue())


def test_a_terminal_gets_a_table_that_stays_where_it_is(terminal: Console, clock: Clock) -> None:
    progress = SweepProgress("search", measure=ACCURACY, num_trials=40, console=terminal, clock=clock)
    with progress:
        for number in range(15):
            progress.on_trial_start(0, [], cell(number, seed=number))
        for epoch in range(1, 9):
            clock.now += 10.0
            for number in range(1, 15):
                progress.on_trial_result(0, [], cell(number, seed=number), row(epoch, of=9))
            progress.on_step_end(0, [])
        clock.now += 3.0
        progress.on_step_end(0, [])
        screen = shown(terminal)
        assert len([line for line in screen.lines if line.strip()]) <= 11, "never higher than the terminal"
        columns = screen.lines[0].split()
        assert columns == ["trial", "method", "target", "settings", "budget", "accuracy", "kept", "images/s", "left"]
        assert screen.lines[1].split() == ["0", "BDW", "digits", "seed", "0", "0", "%"]
        assert screen.lines[2].split() == [
            *("1", "BDW", "digits", "seed", "1", "89", "%", "50.0", "%", "90", "%", "1,234", "0:07")
        ]
        assert "and 8 more running" in screen
        assert "0 complete of 40  15 running  25 waiting  best accuracy 50.0 %" in screen
    assert next(line for line in shown(terminal).lines if line.strip()).startswith("search  0 complete of 40")


def test_ended_trials_leave_the_table_and_failures_a_line(terminal: Console, clock: Clock) -> None:
    with SweepProgress("s", measure=ACCURACY, num_trials=4, console=terminal, clock=clock) as progress:
        for number in range(4):
            progress.on_trial_start(0, [], cell(number, seed=number))
            progress.on_trial_result(0, [], cell(number, seed=number), row(1, of=2))
        progress.on_step_end(0, [])
        progress.on_trial_result(0, [], cell(0), row(2, of=2, ended=True))
        progress.on_trial_result(0, [], cell(1, seed=1), row(1, of=2, failure="NonFiniteError: loss"))
        for number in range(3):
            progress.on_trial_complete(0, [], cell(number, seed=number))
        clock.now = 1.0
        progress.on_step_end(0, [])
        screen = shown(terminal)
        rows = [line.split()[:5] for line in screen.lines if "digits" in line and "on digits" not in line]
        assert rows == [["3", "BDW", "digits", "seed", "3"]]
        assert screen.lines[0] == "s  BDW on digits, seed 1  NonFiniteError: loss"
        assert "1 complete, 1 pruned, 1 failed of 4  1 running" in screen
        assert "stopped early" not in screen, "the summary counts them"


def test_a_narrow_terminal_cuts_names_not_numbers(clock: Clock) -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=60, height=12, color_system=None)
    with SweepProgress("s", measure=ACCURACY, num_trials=1, console=terminal, clock=clock) as progress:
        long = cell(7)
        long.config["labels"]["method"] = "K10 N5 Q5, a design with a long name"
        progress.on_trial_result(0, [], long, row(12, of=12, images_per_second=123456.0))
        progress.on_step_end(0, [])
        (found,) = [line for line in shown(terminal).lines if "100 %" in line]
        assert "…" in found
        assert found.split()[-6:] == ["50.0", "%", "90", "%", "123,456", "0:00"]


def test_the_table_is_not_drawn_more_often_than_one_can_see(terminal: Console, clock: Clock) -> None:
    with SweepProgress("s", measure=ACCURACY, num_trials=1, console=terminal, clock=clock) as progress:
        progress.on_trial_start(0, [], cell(0))
        for step in range(1000):
            clock.now = step / 1000
            progress.on_step_end(0, [])
    written = terminal.file.getvalue()  # type: ignore[attr-defined]
    assert 4 <= written.count("trial") <= 5, "every quarter of a second, and once at the end"


def test_tune_may_pickle_it(progress: SweepProgress) -> None:
    pickle.dumps(progress)
