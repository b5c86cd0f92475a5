"""The epoch loop as a Ray Tune trial: in the trial's own process, or spread over a group of workers.

The loop does not know who listens: `run_epochs` hands every epoch's row to a function, which is Tune's report, Ray
Train's, or anything else that takes a dictionary.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray.train
import torch
from ray import tune
from ray.train import UserCallback
from ray.tune.experiment import Trial
from ray.util.queue import Empty, Queue

from bdw import evaluation
from bdw.config import RunConfig
from bdw.config.budget import Budget
from bdw.errors import InputError, NonFiniteError
from bdw.parallel import collectives, gpu
from bdw.parallel.stop_requests import no_notice
from bdw.ray.cluster import DRIVER_RESOURCE
from bdw.ray.preemption import announced
from bdw.ray.workers import WEEK, WorkerGroup, in_background, train_on
from bdw.runs import log_file
from bdw.runs.backup import RunBackup
from bdw.runs.console import ConsoleProgress, console_on
from bdw.runs.directory import RunDirectory
from bdw.runs.export import read_table
from bdw.runs.metrics import EpochReport
from bdw.training.finish import are_written
from bdw.training.summary import headline
from bdw.training.trainer import Trainer

Row = dict[str, Any]
Report = Callable[[Row], None]

CURVE = (
    "instances_seen", "wall_seconds", "validation_score", "best_validation_score", "kept_fraction", "budget_share",
)  # fmt: skip
"""Columns of a training curve."""
WAITING_FOR = "waiting_for"
"""Key of a row that is no epoch's: the resources, in words, that its workers wait for; "" once they have them."""
PAUSE = 0.2
"""Seconds between two looks at whether the workers have ended."""
DRIVER_CPU = 0.01
"""Share of a CPU that a waiting trial takes where no node offers `DRIVER_RESOURCE`; its workers ask for that much
less."""


@dataclass(frozen=True, kw_only=True)
class TrialPlan:
    """All that a trial needs to know; JSON types only, so that it travels as a Tune config."""

    config: dict[str, Any]
    """`bdw.config.RunConfig.flat()` of the run. Its run_dir is where the trial looks for a checkpoint to continue."""
    num_workers: int = 1
    """1 trains in the trial's own process, more through Ray Train."""
    cpus_per_worker: float = 1.0
    gpus_per_worker: float = 0.0
    train_dir: str = ""
    """Where Ray Train keeps its own files; needed for more than one worker."""
    max_failures: int = 1
    """How often the group of workers is started again after a worker or its machine died."""

    @property
    def group(self) -> WorkerGroup:
        """The workers that it trains on."""
        return WorkerGroup(
            num_workers=self.num_workers, cpus_per_worker=self.cpus_per_worker, gpus_per_worker=self.gpus_per_worker
        )


def best_epoch_column(monitor: str) -> str:
    """Column of a trial's rows with a monitor's value at the best epoch so far, whose encoder the run hands over."""
    return f"best_epoch_{monitor}"


def trial_resources(plan: TrialPlan, *, has_driver_resource: bool) -> tune.PlacementGroupFactory:
    """What Tune reserves for the trial itself: its worker, or only a seat for the process that waits for them."""
    if plan.num_workers == 1:
        return tune.PlacementGroupFactory([plan.group.resources_per_worker])
    return tune.PlacementGroupFactory([{DRIVER_RESOURCE: 1} if has_driver_resource else {"CPU": DRIVER_CPU}])


def run_trial(trial_config: dict[str, Any]) -> None:
    """A Tune trial. `trial_config["plan"]` holds the fields of a `TrialPlan`.

    Reports a row per epoch (the columns of metrics.csv, `best_validation_score` and a `best_epoch_column` for every
    monitor) and, once all files of the run are written, the last row again with `ended`, `results` (the rows of
    results.parquet) and `curve` (a list of the `CURVE` columns for every evaluation). Errors that a second attempt
    would repeat (bad input, a number that is not finite) are reported as `failure`; any other error goes to Tune, which
    may try again. While workers wait for machines, a row with nothing but `waiting_for` says so.
    """
    tune.report(run_plan(TrialPlan(**trial_config["plan"]), tune.report))


def run_plan(plan: TrialPlan, report: Report) -> Row:
    """Train, here or on workers; `report` gets a row per epoch. Returns the closing row; see `run_trial`."""
    return _run_to_the_end(plan, report) if plan.num_workers == 1 else _run_on_workers(plan, report)


def run_epochs(plan: TrialPlan, report: Report) -> list[Row]:
    """Train to the end and hand out every epoch's row, those of an earlier attempt first.

    Under torch.distributed every worker calls it and reports the same rows; a finished run only hands out its rows.

    Returns:
        the rows of results.parquet, on rank 0; [] on others.
    """
    torch.set_num_threads(max(1, round(plan.cpus_per_worker)))
    config = collectives.on_all(lambda: on_this_machine(plan.config))
    # Rank 0's files decide: all workers must report equally often.
    finished = collectives.computed_on(0, lambda: _finished_rows(config))

    measure = evaluation.measure(config.evaluation.measure)
    best, reported = math.nan, 0
    monitors = {name: best_epoch_column(name) for name in config.evaluation.monitors}
    then = dict.fromkeys(monitors.values(), math.nan)

    def hand_out(row: Row) -> None:
        nonlocal best, reported, then
        if row["epoch"] > reported:
            if measure.better(row["validation_score"], best):
                best, then = row["validation_score"], {column: row[name] for name, column in monitors.items()}
            reported = row["epoch"]
            report({**row, "best_validation_score": best, **then})

    for row in finished:
        hand_out(row)
    if not finished:
        with contextlib.closing(_trained(plan, config)) as epochs:
            for epoch in epochs:
                hand_out(epoch.row())
    if collectives.rank() != 0:
        return []
    rows: list[Row] = read_table(RunDirectory(Path(config.output.run_dir)).results).to_pylist()
    return rows


def _trained(plan: TrialPlan, config: RunConfig) -> Generator[EpochReport]:
    """Train to the end; reports of all epochs, those of an earlier attempt first. This worker keeps a log of its own
    beside the run (`bdw.runs.log_file`)."""
    rank, output = collectives.rank(), config.output
    path = Path(output.run_dir) / log_file.name_of(rank)
    who = f"worker {rank + 1} of {collectives.size()}"
    with log_file.logged_to(path, who=who, storage=output.storage_path) as log:
        progress = ConsoleProgress(measure=evaluation.measure(config.evaluation.measure), console=console_on(log))
        collectives.on_all(lambda: gpu.require_reserved("gpus_per_worker", plan.gpus_per_worker))
        # The checkpoint knows what was done; metrics.csv may lag behind it after a crash.
        trainer = Trainer(
            config,
            listener=progress,
            notice_board=announced if plan.num_workers > 1 else no_notice,
            storage_is_known=True,
        )
        if rank == 0:
            progress.say(headline(trainer.state, trainer.config, trainer.problem, trainer.device))
            progress.recall(trainer.history)
        yield from list(trainer.history)
        yield from trainer.epochs()
        if rank == 0:
            progress.say("the run has ended, its files are written")


def _finished_rows(config: RunConfig) -> list[Row]:
    """The rows of a complete run, whose data need not be opened; [] for any other run."""
    run = RunDirectory(Path(config.output.run_dir))
    RunBackup(run, config.output, is_known=True).bring_back()
    rows = run.read_metrics()
    if not rows:
        return []
    seen = int(rows[-1]["instances_seen"])
    # Of the budget that the run has now, which may be larger than the one that it ended with.
    budget = Budget.of(config.budget, round(rows[-1]["kept"] / rows[-1]["kept_fraction"]))
    is_whole = (
        len(rows) == budget.epochs
        if budget.images is None
        else budget.images <= seen < budget.images + config.optimiser.batch_size
    )
    return rows if is_whole and are_written(run, seen) else []


class ForwardWithRunId(UserCallback):  # type: ignore[misc]
    """Passes rank 0's reports on to the trial, with the id by which `ReleaseWorkers` finds the run's request for
    machines.

    Ray's own `TuneReportCallback` brings the reports to Tune by a second way beside `tune.report`. A trial whose
    function returns while its last epoch is still under way there hangs for good: both want the only place for a
    result, and the thread that would empty it waits to fill it. Here only the trial's function reports.
    """

    def __init__(self, rows: Queue, wants: str):
        self._rows = rows
        self._wants = wants

    def after_report(self, run_context: Any, metrics: list[Row], checkpoint: Any) -> None:
        """Called by Ray Train's controller when all workers have reported; waits while a row before is not taken."""
        self._rows.put({**metrics[0], "train_run_id": run_context.run_id})

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Called by the controller when workers have failed or died; if they are started again, they wait again."""
        self._rows.put({WAITING_FOR: self._wants, "train_run_id": run_context.run_id})


class ReleaseWorkers(tune.Callback):  # type: ignore[misc]
    """Withdraws a stopped trial's request for machines.

    Ray 2.60 keeps the request of a TorchTrainer that Tune kills for another three minutes, so that an autoscaler pays
    for workers that nobody uses. Goes through a private interface of that version, hence the pin in pyproject.toml.
    """

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Called by Tune when a trial has ended or was stopped."""
        self._withdraw(trial)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Called by Tune when a trial has failed for good."""
        self._withdraw(trial)

    def _withdraw(self, trial: Trial) -> None:
        run_id = (trial.last_result or {}).get("train_run_id")
        if run_id is not None:
            from ray.data._internal.cluster_autoscaler.default_autoscaling_coordinator import (
                get_or_create_autoscaling_coordinator,
            )

            get_or_create_autoscaling_coordinator().cancel_request.remote(requester_id=f"train-{run_id}")


def _run_to_the_end(plan: TrialPlan, report: Report) -> Row:
    """All epochs, then the closing row: the last one with `ended` and `results`, or with `failure`."""
    last: Row = {"epoch": 0, "best_validation_score": math.nan}  # Schedulers insist on their metric in every row.
    curve: list[list[float]] = []

    def remember(row: Row) -> None:
        last.update(row)
        if not math.isnan(row["validation_score"]):
            curve.append([float(row[column]) for column in CURVE])
        report(row)

    try:
        results = run_epochs(plan, remember)
    except (InputError, NonFiniteError) as error:
        return {**last, "failure": f"{type(error).__name__}: {error}"}
    return {**last, "ended": True, "results": results, "curve": curve}


def _run_on_workers(plan: TrialPlan, report: Report) -> Row:
    """The same through Ray Train: starts the workers, forwards rank 0's rows, returns its closing row."""
    path = Path(plan.config["run_dir"]).expanduser() / log_file.TRIAL
    with log_file.logged_to(path, who="the trial", storage=plan.config.get("storage_path")) as log:
        return _follow_workers(plan, report, log)


def _follow_workers(plan: TrialPlan, report: Report, log: log_file.Log) -> Row:
    def hear(row: Row) -> None:
        if WAITING_FOR in row:
            print(f"waiting for {row[WAITING_FOR]}" if row[WAITING_FOR] else "its workers are there", file=log)
        report(row)

    hear({WAITING_FOR: plan.group.wants})
    rows = Queue(maxsize=1, actor_options={"num_cpus": 0})
    # A trial that Tune stops does not wait for its workers.
    outcome = in_background(
        lambda: train_on(
            plan.group,
            _work,
            {"plan": dataclasses.asdict(plan), "rows": rows},
            name=Path(plan.config["run_dir"]).name,
            storage=plan.train_dir,
            max_failures=plan.max_failures,
            step_timeout=RunConfig.from_flat(plan.config).output.step_timeout,
            # Waiting for machines is no failure: a cluster that is full today may be free tomorrow.
            start_timeout=WEEK,
            callbacks=[ForwardWithRunId(rows, plan.group.wants)],
        )
    )
    while True:
        has_ended = outcome.done()  # before the last look, so that no row is left behind
        try:
            hear(rows.get(timeout=PAUSE))
        except Empty:
            if has_ended:
                try:
                    return outcome.result()
                except InputError as error:  # Another attempt would meet it, too.
                    print(f"InputError: {error}", file=log)
                    return {"epoch": 0, "best_validation_score": math.nan, "failure": f"InputError: {error}"}


def _work(settings: dict[str, Any]) -> Row:
    """What each of Ray Train's workers does; the process group is there already."""
    if collectives.rank() == 0:
        settings["rows"].put({WAITING_FOR: ""})
    return _run_to_the_end(TrialPlan(**settings["plan"]), ray.train.report)


def on_this_machine(config: dict[str, Any]) -> RunConfig:
    """The run's config with `resume`; `~` stands for the home of the user who runs Ray on this machine."""
    places = {name: str(Path(config[name]).expanduser()) for name in ("run_dir", "cache_dir") if config.get(name)}
    return RunConfig.from_flat(config).replace(resume=True, **places)
