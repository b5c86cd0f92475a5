"""`bdw certify`: whether the images that a run kept are worth more than others, measured by training on them."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bdw import evaluation
from bdw.commands.fit import train
from bdw.config import RunConfig, WorkersConfig
from bdw.config.checks import require_at_least
from bdw.data import Problem, packing_bar
from bdw.data.problem import cache_folder
from bdw.data.source_and_targets import LabelledProgress
from bdw.errors import InputError, RunStopped
from bdw.parallel import device as devices
from bdw.parallel.stop_requests import INTERRUPTED, NoticeBoard, no_notice, terminations
from bdw.report import write_run_report
from bdw.report.certificate_section import in_words
from bdw.runs import checkpoint
from bdw.runs.console import clock_time
from bdw.runs.directory import RunDirectory
from bdw.runs.export import read_table
from bdw.runs.metrics import ProgressListener, Silent, StepReport
from bdw.scoring.certificate import LEAST_SEEDS, Arm, Certificate
from bdw.scoring.certificate_arms import Subject, arm_config, nearest_config, run_of, write_weights
from bdw.storage.atomic_write import write_text
from bdw.training.build import build_toolkit, load_problem
from bdw.weighting import selection

if TYPE_CHECKING:
    from bdw.commands.options import Certify

PLAN = "plan.json"
"""In the folder of the arms: what their scores depend on."""

OnRun = Callable[[Arm, int, float, float], None]
"""Called after every run: arm, seed, score and seconds."""


def certify_from_console(command: Certify) -> None:
    """Train what is not trained yet, say how far it is, and at the end what to do and where the certificate lies."""
    require_at_least("seeds", command.seeds, LEAST_SEEDS, f"at least {LEAST_SEEDS}")
    require_at_least("num_workers", command.num_workers, 1, "at least 1, or none")
    subject = Subject.of(RunDirectory(command.run))
    if command.num_workers is not None and subject.config.hardware.device == "cuda":
        raise InputError("num_workers: workers of one CPU each cannot work for a run on device 'cuda'; allowed: none")
    measure = evaluation.measure(subject.config.evaluation.measure)
    seeds = subject.seeds(command.seeds)
    print(
        f"run     {command.run}: kept {int(subject.kept.sum()):,} of {len(subject.kept):,} images, trained on "
        f"{subject.budget_images:,}\n"
        f"train   {len(Arm) * len(seeds)} encoders on as many images each: {', '.join(Arm)}; "
        f"seeds {seeds[0]} to {seeds[-1]}",
        flush=True,
    )
    try:
        with terminations() as notice_board, packing_bar() as bar:
            pace = Pace(len(Arm) * len(seeds), bar)

            def tell(arm: Arm, seed: int, score: float, seconds: float) -> None:
                print(
                    f"{arm.value:<8} seed {seed}  test {measure.label} {measure.shown(score):>7}  "
                    f"{clock_time(seconds):>7}  {pace}",
                    flush=True,
                )

            found = certify(subject, seeds, notice_board, pace, tell, command.num_workers)
    except (KeyboardInterrupt, RunStopped) as stopped:
        if isinstance(stopped, RunStopped) and stopped.reason != INTERRUPTED:
            raise
        print("\nstopped; the same command goes on from the last checkpoint", flush=True)
        raise KeyboardInterrupt from None
    report = write_run_report(subject.run.path)
    for line in in_words(found):
        print(line)
    print(f"table   {subject.run.certificate}\nreport  {report}")


def certify(
    subject: Subject,
    seeds: tuple[int, ...],
    notice_board: NoticeBoard,
    pace: Pace,
    on_run: OnRun,
    num_workers: int | None = None,
) -> Certificate:
    """Train every arm with every seed, but for those that are trained already, and write certificate.json.

    `num_workers`: how many Ray trains at a time; None for one after another in this process.

    Raises `InputError`, before anything is trained, if the images are no longer those of the run or the folder holds
    arms of other weights, and `RunStopped` if the notice board asks to stop.
    """
    cache_dir = cache_folder(subject.config.data, subject.run.path.resolve())
    _claim(subject)
    problem = load_problem(subject.config, subject.run.path.resolve(), pace.bar)
    _require_same_source(subject, problem)
    device = devices.choose(subject.config.hardware.device)
    toolkit = build_toolkit(subject.config, problem, subject.run.path.resolve(), device, pace.bar)
    nearest = selection.select(nearest_config(subject), problem, toolkit).weights
    write_weights(subject, nearest, problem.source.content_key)
    measure = subject.config.evaluation.measure
    found: dict[tuple[Arm, int], tuple[float, float]] = {}

    def has_ended(arm: Arm, seed: int, *, was_trained: bool) -> None:
        found[arm, seed] = score, took = _result(run_of(subject, arm, seed), measure)
        pace.has_ended(was_trained=was_trained)
        on_run(arm, seed, score, took)

    # Seed by seed, so that a certificate of fewer seeds is complete first.
    runs = [(arm, seed) for seed in seeds for arm in Arm]
    is_there = {each: run_of(subject, *each).results.is_file() for each in runs}
    if num_workers is None:
        for arm, seed in runs:
            if not is_there[arm, seed]:
                _train(arm_config(subject, arm, seed, cache_dir), notice_board, pace)
            has_ended(arm, seed, was_trained=is_there[arm, seed])
    else:
        for arm, seed in runs:
            if is_there[arm, seed]:
                has_ended(arm, seed, was_trained=True)
        missing = [each for each in runs if not is_there[each]]
        for arm, seed in _trained_by_ray(subject, missing, cache_dir, num_workers, pace):
            has_ended(arm, seed, was_trained=False)
    certificate = Certificate(
        measure=measure,
        higher_is_better=evaluation.measure(measure).higher_is_better,
        images=len(subject.kept),
        kept=int(subject.kept.sum()),
        budget_images=subject.budget_images,
        seeds=seeds,
        scores={arm: tuple(found[arm, seed][0] for seed in seeds) for arm in Arm},
        seconds={arm: float(np.mean([found[arm, seed][1] for seed in seeds])) for arm in Arm},
    )
    write_text(subject.run.certificate, certificate.json() + "\n")
    return certificate


class Pace(Silent):
    """How far all runs together are, and how long the rest takes; hears of the steps of the run under way."""

    def __init__(self, runs: int, bar: LabelledProgress, clock: Callable[[], float] = time.monotonic):
        self.bar = bar
        self._runs, self._clock = runs, clock
        self._ended = 0
        self._share = 0.0
        """Of the run under way."""
        self._trained = 0.0
        """Runs that this process trained, parts of runs included."""
        self._began: float | None = None
        self._counts_whole_runs = False

    def count_whole_runs(self) -> None:
        """From now on runs are trained elsewhere, where their steps are not heard of."""
        self._began, self._counts_whole_runs = self._clock(), True

    def on_step(self, report: StepReport) -> None:
        """Show how far it is."""
        if self._began is None:
            self._began = self._clock()
        elif report.budget_share > self._share:
            self._trained += report.budget_share - self._share
        self._share = report.budget_share
        self._show()

    def has_ended(self, *, was_trained: bool) -> None:
        """The run under way is over, or `was_trained` by an earlier command."""
        self._ended += 1
        self._share = 0.0
        self._trained += 1 if self._counts_whole_runs and not was_trained else 0
        if not was_trained:
            self._show()

    @property
    def seconds_left(self) -> float:
        """By the time that what was trained took; NaN before anything was."""
        if self._began is None or not self._trained:
            return float("nan")
        return (self._clock() - self._began) / self._trained * (self._runs - self._ended - self._share)

    def __str__(self) -> str:
        left = "" if self._ended == self._runs else f", about {clock_time(self.seconds_left)} left"
        return f"({self._ended} of {self._runs}{left})"

    def _show(self) -> None:
        done = (self._ended + self._share) / self._runs
        self.bar("training, thousandths", round(1000 * done) // 64 * 64 if done < 1 else 1000, 1000)


def _train(config: RunConfig, notice_board: NoticeBoard = no_notice, listener: ProgressListener | None = None) -> None:
    train(config, WorkersConfig(), listener=listener, notice_board=notice_board)
    # A finished arm is never continued; fifteen of them would hold fifteen models.
    checkpoint.delete_all(RunDirectory(Path(config.output.run_dir)).checkpoints)


def _trained_by_ray(
    subject: Subject, missing: Sequence[tuple[Arm, int]], cache_dir: Path, num_workers: int, pace: Pace
) -> Iterator[tuple[Arm, int]]:
    """Which has been trained, as soon as it is."""
    if not missing:
        return
    # Ray takes seconds to import.
    from bdw.ray.parallel import side_by_side

    pace.count_whole_runs()
    work = [functools.partial(_train_one, arm_config(subject, *each, cache_dir), each) for each in missing]
    with side_by_side(num_workers) as done:
        yield from done(work)


def _train_one(config: RunConfig, which: tuple[Arm, int]) -> tuple[Arm, int]:
    """On a worker."""
    _train(config)
    return which


def _claim(subject: Subject) -> None:
    """Make sure that the folder of arms is this certificate's."""
    file, plan = subject.folder / PLAN, subject.plan()
    if not file.is_file():
        write_text(file, json.dumps(plan, indent=1))
    elif json.loads(file.read_text(encoding="utf-8")) != json.loads(json.dumps(plan)):
        raise InputError(
            f"run: {subject.folder} holds runs for other weights or settings than {subject.run.path} has now; allowed: "
            "the run as it was, or that folder deleted"
        )


def _require_same_source(subject: Subject, problem: Problem) -> None:
    names, told = problem.source.names, subject.run.read_config().get("source") or {}
    key = told.get("content_key", problem.source.content_key)
    if len(names) != len(subject.names) or (names != subject.names).any() or key != problem.source.content_key:
        raise InputError(
            f"run: its source {subject.config.data.source!r} no longer holds the {len(subject.names):,} images that "
            f"{subject.run.path} was trained on; allowed: the source as it was"
        )


def _result(own: RunDirectory, measure: str) -> tuple[float, float]:
    """Test score of the best epoch, and seconds."""
    table = read_table(own.results, ["metric", "value", "wall_seconds"]).to_pylist()
    row = next((row for row in table if row["metric"] == measure), None)
    if row is None:
        raise InputError(f"run: {own.path} has no test score ({measure}); allowed: a measure that gives a number")
    return float(row["value"]), float(row["wall_seconds"])
