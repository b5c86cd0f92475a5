"""`bdw certify`: whether the images that a run kept are worth more than others, measured by training on them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from bdw import evaluation
from bdw.commands.fit import train
from bdw.config import RunConfig, WeighterConfig, WorkersConfig
from bdw.config.checks import require_at_least
from bdw.data import Problem, packing_bar
from bdw.data.problem import cache_folder
from bdw.data.source_and_targets import LabelledProgress
from bdw.errors import InputError, RunStopped
from bdw.parallel import device as devices
from bdw.parallel.stop_requests import INTERRUPTED, NoticeBoard, terminations
from bdw.report import write_run_report
from bdw.report.certificate_section import in_words
from bdw.runs import checkpoint
from bdw.runs.console import clock_time
from bdw.runs.directory import RunDirectory
from bdw.runs.export import read_table
from bdw.runs.metrics import Silent, StepReport
from bdw.scoring.certificate import LEAST_SEEDS, Arm, Certificate
from bdw.scoring.certificate_arms import Subject, arm_config, run_of, write_weights
from bdw.storage.atomic_write import write_text
from bdw.training.build import load_problem
from bdw.weighting import selection
from bdw.weighting.selection.protocol import Toolkit

if TYPE_CHECKING:
    from bdw.commands.options import Certify

PLAN = "plan.json"
"""In the folder of the arms: what their scores depend on."""

OnRun = Callable[[Arm, int, float, float], None]
"""Called after every run: arm, seed, score and seconds."""


def certify_from_console(command: Certify) -> None:
    """Train what is not trained yet, say how far it is, and at the end what to do and where the certificate lies."""
    require_at_least("seeds", command.seeds, LEAST_SEEDS, f"at least {LEAST_SEEDS}")
    subject = Subject.of(RunDirectory(command.run))
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

            found = certify(subject, seeds, notice_board, pace, tell)
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
    subject: Subject, seeds: tuple[int, ...], notice_board: NoticeBoard, pace: Pace, on_run: OnRun
) -> Certificate:
    """Train every arm with every seed, but for those that are trained already, and write certificate.json.

    Raises `InputError`, before anything is trained, if the images are no longer those of the run or the folder holds
    arms of other weights, and `RunStopped` if the notice board asks to stop.
    """
    cache_dir = cache_folder(subject.config.data, subject.run.path.resolve())
    _claim(subject)
    problem = load_problem(subject.config, subject.run.path.resolve(), pace.bar)
    _require_same_source(subject, problem)
    toolkit = Toolkit(
        device=devices.choose(subject.config.hardware.device), cache_dir=cache_dir, seed=0, progress=pace.bar
    )
    likeness = selection.build(WeighterConfig(weighter="nearest-neighbour")).weights(problem, toolkit)
    write_weights(subject, likeness, problem.source.content_key)
    measure = subject.config.evaluation.measure
    scores: dict[Arm, list[float]] = {arm: [] for arm in Arm}
    seconds: dict[Arm, list[float]] = {arm: [] for arm in Arm}
    # Seed by seed, so that a certificate of fewer seeds is complete first.
    for seed in seeds:
        for arm in Arm:
            own = run_of(subject, arm, seed)
            was_trained = own.results.is_file()
            if not was_trained:
                _train(arm_config(subject, arm, seed, cache_dir), own, notice_board, pace)
            score, took = _result(own, measure)
            pace.has_ended(was_trained=was_trained)
            scores[arm].append(score)
            seconds[arm].append(took)
            on_run(arm, seed, score, took)
    found = Certificate(
        measure=measure,
        higher_is_better=evaluation.measure(measure).higher_is_better,
        images=len(subject.kept),
        kept=int(subject.kept.sum()),
        budget_images=subject.budget_images,
        seeds=seeds,
        scores={arm: tuple(each) for arm, each in scores.items()},
        seconds={arm: float(np.mean(each)) for arm, each in seconds.items()},
    )
    write_text(subject.run.certificate, found.json() + "\n")
    return found


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


def _train(config: RunConfig, own: RunDirectory, notice_board: NoticeBoard, pace: Pace) -> None:
    train(config, WorkersConfig(), listener=pace, notice_board=notice_board)
    # A finished arm is never continued; fifteen of them would hold fifteen models.
    checkpoint.delete_all(own.checkpoints)


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
