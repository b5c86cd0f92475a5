"""What a trial's report costs the process that drives a sweep: its study, early stopping, TensorBoard and console.

`python -m benchmarks.studies.report_cost` reports epochs of so many trials, one after the other, to the parts that hear
of a report, without Ray and without training, and takes the time of each part.
"""

from __future__ import annotations

import dataclasses
import io
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import tyro
from rich.console import Console

from bdw.config import presets
from bdw.evaluation import measure
from bdw.ray.trial import TrialPlan
from benchmarks.harness import provenance, write_result
from sweeps.runner import tracking
from sweeps.runner.paths import Paths
from sweeps.runner.progress import SweepProgress
from sweeps.study.early_stopping import BudgetHalving
from sweeps.study.objective import SCORE, score_alone
from sweeps.study.open_study import open_storage, open_study
from sweeps.study.searcher import StudySearcher

COLUMNS = 20
"""Columns of metrics.csv, about, besides those that are named here."""


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    trials: int = 1000
    """Trials of the search."""
    epochs: int = 10
    """Reports of a trial."""
    save: bool = False
    """Keep the result in benchmarks/results."""


@dataclass(frozen=True)
class HeardTrial:
    """As much of Tune's trial as those ask for that hear of it."""

    trial_id: str
    config: dict[str, Any] = dataclasses.field(hash=False, compare=False)
    local_path: str = ""
    evaluated_params: tuple[()] = ()

    def init_local_path(self) -> None:
        """Make its folder."""
        Path(self.local_path).mkdir(parents=True, exist_ok=True)


def main(arguments: Arguments) -> None:
    """Print the milliseconds of a report by part, and keep them if asked to."""
    milliseconds, of_processor = measured(arguments.trials, arguments.epochs)
    for part, cost in milliseconds.items():
        print(f"{part:15} {cost:.3f} ms a report, {of_processor[part]:.3f} of them the processor's")
    whole, own = sum(milliseconds.values()), sum(of_processor.values())
    print(f"{'all':15} {whole:.3f} ms a report, {own:.3f} of them the processor's; {arguments.trials} trials")
    if arguments.save:
        costs = {"milliseconds": milliseconds, "processor_milliseconds": of_processor}
        contents = {**provenance(0), "trials": arguments.trials, **costs}
        write_result("report-cost-cpu", contents)


def measured(trials: int, epochs: int) -> tuple[dict[str, float], dict[str, float]]:
    """Part -> milliseconds of a report, mean over all: by the clock, and of the processor, which other work on the
    machine does not lengthen."""
    accuracy = measure("accuracy")
    plan = dataclasses.asdict(TrialPlan(config=presets.build("digits").flat()))
    seconds: dict[str, float] = defaultdict(float)
    of_processor: dict[str, float] = defaultdict(float)
    with tempfile.TemporaryDirectory() as folder:
        study = open_study(
            open_storage(Path(folder) / "study.journal"), "cost", directions=["maximize"], experiment={}, seed=0
        )

        def propose(trial: optuna.Trial) -> dict[str, Any]:
            x = trial.suggest_float("x", 0, 1)
            return {"plan": plan, "labels": {"run": repr(x), "title": "a trial", "method": "BDW"}}

        searcher = StudySearcher(study, propose, objective=score_alone(accuracy), num_new=trials)
        halving = BudgetHalving(accuracy)
        console = Console(file=io.StringIO(), width=160)
        progress = SweepProgress("search", measure=accuracy, num_trials=trials, console=console)
        (tensorboard, *_) = tracking.loggers((), Paths.of(folder, "cost"))
        for number in range(trials):
            config = searcher.suggest(str(number))
            assert isinstance(config, dict)
            trial: Any = HeardTrial(str(number), config, f"{folder}/{number}")
            tensorboard.on_trial_start(0, [], trial)
            for epoch in range(1, epochs + 1):
                row = _row(epoch, epochs)
                parts: dict[str, Callable[[], object]] = {
                    "early stopping": partial(halving.on_trial_result, None, trial, row),
                    "study": partial(searcher.on_trial_result, trial.trial_id, row),
                    "TensorBoard": partial(tensorboard.on_trial_result, 0, [], trial, row),
                    "console": partial(progress.on_trial_result, 0, [], trial, row),
                }
                for name, hear in parts.items():
                    began, began_processor = time.perf_counter(), time.process_time()
                    hear()
                    seconds[name] += time.perf_counter() - began
                    of_processor[name] += time.process_time() - began_processor
            searcher.on_trial_complete(str(number), {**row, "ended": True, "results": [], "curve": []})
            progress.on_trial_complete(0, [], trial)
            tensorboard.on_trial_complete(0, [], trial)
    by_clock, by_processor = (
        {name: round(1000 * spent / (trials * epochs), 4) for name, spent in taken.items()}
        for taken in (seconds, of_processor)
    )
    return by_clock, by_processor


def _row(epoch: int, epochs: int) -> dict[str, Any]:
    own = {"epoch": epoch, "budget_share": epoch / epochs, SCORE: 0.5, "validation_score": 0.5, "kept_fraction": 1.0}
    figures = {f"figure_{number}": 0.25 for number in range(COLUMNS)}
    return {**own, **figures, "wall_seconds": 1.0 * epoch, "instances_seen": 100 * epoch, "training_iteration": epoch}


if __name__ == "__main__":
    main(tyro.cli(Arguments))
