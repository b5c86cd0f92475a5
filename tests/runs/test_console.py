from __future__ import annotations

import dataclasses
import io
import math
import re

import pytest
from rich.console import Console

from bdw.evaluation import measure
from bdw.runs.console import ConsoleProgress, clock_time
from bdw.runs.metrics import EpochReport, StepReport

ACCURACY = measure("accuracy")


class Clock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def step(epoch: int, number: int, **changes: float) -> StepReport:
    figures = {"loss": 1.25, "meta_loss": 2.5, "kept_fraction": 0.84, "images_per_second": 1234.4} | changes
    return StepReport(epoch=epoch, epochs=2, step=number, steps=4, **figures)


def epoch(number: int, validation_score: float = 0.831, *, is_best: bool = True) -> EpochReport:
    return EpochReport(
        epoch=number,
        steps=4,
        loss=1.0,
        meta_loss=math.nan,
        pretext_accuracy=0.5,
        validation_score=validation_score,
        is_best=is_best,
        kept=1512,
        kept_fraction=0.756,
        mean_weight=0.5,
        planted_auroc=math.nan,
        instances_seen=10,
        budget_share=0.5,
        target_instances_seen=0,
        learning_rate=0.1,
        seconds=12.34,
        wall_seconds=13.0,
        images_per_second=800.0,
        weighting_seconds=0.0,
        saved_seconds=0.0,
        meta_every=1,
        meta_batch=10,
    )


def plain_console() -> Console:
    return Console(file=io.StringIO(), width=80, force_terminal=False)


def printed(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_without_a_terminal_a_step_prints_only_after_the_pause_and_an_epoch_always() -> None:
    clock, console = Clock(), plain_console()
    with ConsoleProgress(measure=ACCURACY, console=console, clock=clock) as progress:
        for number in range(1, 5):
            clock.now += 6.0
            progress.on_step(step(1, number))
        progress.on_epoch(epoch(1))
    lines = printed(console)
    assert [line.split("  ")[1] for line in lines] == ["step 2/4", "step 4/4", "loss 1.0000"]


def test_a_step_line_has_units_and_time_left() -> None:
    clock, console = Clock(), plain_console()
    with ConsoleProgress(measure=ACCURACY, console=console, seconds_between_lines=0.0, clock=clock) as progress:
        for number in (1, 2, 3):
            progress.on_step(step(1, number))
            clock.now += 20.0
    # Two steps of 20 s since the first; one left in this epoch and four in the next.
    assert printed(console)[-1] == (
        "epoch 1/2  step 3/4   1:40 left  loss 1.2500  meta-loss 2.5000  kept  84.0 %  "
        "  1,234 images/s  20000.0 ms/step"
    )


def test_time_to_the_first_step_does_not_count() -> None:
    clock, console = Clock(), plain_console()
    with ConsoleProgress(measure=ACCURACY, console=console, seconds_between_lines=0.0, clock=clock) as progress:
        clock.now += 1000.0
        progress.on_step(step(1, 1))
        clock.now += 1.0
        progress.on_step(step(1, 2))
    assert "   ? left" in printed(console)[0]
    assert printed(console)[0].endswith("     ? ms/step")
    assert " 0:06 left" in printed(console)[1]
    assert printed(console)[1].endswith("1000.0 ms/step")


def test_a_run_that_goes_on_in_the_middle_of_an_epoch_and_leaves_out_steps_counts_right() -> None:
    clock, console = Clock(), plain_console()
    with ConsoleProgress(measure=ACCURACY, console=console, seconds_between_lines=0.0, clock=clock) as progress:
        progress.on_step(step(1, 2))
        clock.now += 4.0
        progress.on_step(step(1, 4))
        clock.now += 2.0
        progress.on_step(step(2, 1))
        clock.now += 4.0
        progress.on_step(step(2, 3))
    figures = [(line.split("left")[0].split()[-1], line.split("images/s")[1].strip()) for line in printed(console)]
    # Every step took 2 s: four, two (the first says nothing), three and one are left.
    assert figures == [
        ("?", "? ms/step"),
        ("0:08", "2000.0 ms/step"),
        ("0:06", "? ms/step"),
        ("0:02", "2000.0 ms/step"),
    ]


def test_with_a_budget_of_images_its_share_stands_in_the_place_of_the_number_of_epochs() -> None:
    """Nobody knows how many epochs it will be, but how many images are left."""
    clock, console = Clock(), plain_console()
    with ConsoleProgress(measure=ACCURACY, console=console, seconds_between_lines=0.0, clock=clock) as progress:
        for number, share in ((1, 0.1), (2, 0.2), (3, 0.3)):
            progress.on_step(step(1, number, budget_share=share, saved_seconds=math.nan))
            clock.now += 20.0
        progress.on_epoch(dataclasses.replace(epoch(1), budget_share=0.345, saved_seconds=math.nan))
    lines = printed(console)
    assert lines[0].startswith("epoch   1   10.0 % of the budget  step 1/4      ? left")
    # A tenth in 20 s.
    assert lines[1].startswith("epoch   1   20.0 % of the budget  step 2/4   2:40 left")
    assert lines[2].startswith("epoch   1   30.0 % of the budget  step 3/4   2:20 left")
    assert lines[3].startswith("epoch   1   34.5 % of the budget  loss 1.0000")
    assert "nan" not in "".join(lines)


def test_an_epoch_line_leaves_out_what_was_not_measured() -> None:
    clock, console = Clock(), plain_console()
    with ConsoleProgress(measure=ACCURACY, console=console, clock=clock) as progress:
        progress.on_step(step(1, 1))
        progress.on_epoch(epoch(1))
        progress.on_epoch(epoch(2, validation_score=math.nan))
    first, second = printed(console)
    assert first == (
        "epoch 1/2  loss 1.0000  kept  75.6 % (1,512 images)  validation accuracy  83.1 % (best 83.1 %, epoch 1)"
        "      800 images/s    12.3 s"
    )
    assert "validation" not in second
    assert "meta-loss" not in second


def best_said(console: Console) -> list[str]:
    return [found[1] if (found := re.search(r"\((best .*?)\)", line)) else "" for line in printed(console)]


def test_the_best_score_never_falls() -> None:
    console = plain_console()
    with ConsoleProgress(measure=ACCURACY, console=console) as progress:
        progress.on_epoch(epoch(1, 0.9))
        progress.on_epoch(epoch(2, 0.8, is_best=False))
        progress.on_epoch(epoch(3, 0.9, is_best=False))
        progress.on_epoch(epoch(4, 0.95))
    first = "best 90.0 %, epoch 1"
    assert best_said(console) == [first, first, first, "best 95.0 %, epoch 4"]


def test_a_low_loss_is_the_best_one() -> None:
    console = plain_console()
    with ConsoleProgress(measure=measure("pretext_loss"), console=console) as progress:
        progress.on_epoch(epoch(1, 2.0))
        progress.on_epoch(epoch(2, 3.0, is_best=False))
    assert best_said(console) == ["best 2.00, epoch 1"] * 2


def test_a_resumed_run_recalls_its_best_epoch_or_says_nothing_of_it() -> None:
    told, untold = plain_console(), plain_console()
    for console, history in ((told, [epoch(1, 0.9), epoch(2, 0.8, is_best=False)]), (untold, [])):
        with ConsoleProgress(measure=ACCURACY, console=console) as progress:
            progress.recall(history)
            progress.on_epoch(epoch(3, 0.85, is_best=False))
            progress.on_epoch(epoch(4, 0.95))
    assert best_said(told) == ["best 90.0 %, epoch 1", "best 95.0 %, epoch 4"]
    assert best_said(untold) == ["", "best 95.0 %, epoch 4"]


def test_on_a_terminal_one_line_follows_the_steps_and_is_gone_at_the_end() -> None:
    console = Console(file=io.StringIO(), width=60, force_terminal=True, color_system=None, _environ={})
    with ConsoleProgress(measure=ACCURACY, console=console) as progress:
        for number in (1, 2, 3):
            progress.on_step(step(1, number))
        progress.on_epoch(epoch(1))
    assert isinstance(console.file, io.StringIO)
    output = console.file.getvalue()
    assert "epoch 1/2  loss 1.0000" in output
    shown = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", line) for line in output.split("\n")]
    assert any("step 3/4" in line for line in shown)
    assert all(len(line) <= 60 for line in shown if "step" in line)
    assert output.rstrip("\r\n").endswith("\x1b[2K")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (3599.0, "59:59"), (3661.0, "1:01:01"), (math.inf, "?")]
)
def test_clock_time(seconds: float, text: str) -> None:
    assert clock_time(seconds) == text


def test_a_measure_that_takes_long_says_how_far_it_is() -> None:
    clock, console = Clock(), plain_console()
    with ConsoleProgress(measure=ACCURACY, console=console, seconds_between_lines=10.0, clock=clock) as progress:
        for done in range(1, 31):
            clock.now += 1.0
            progress.on_measure("fine-tuning, epochs", done, 800)
    assert printed(console) == [f"fine-tuning, epochs  {done}/800" for done in (10, 20, 30)]
