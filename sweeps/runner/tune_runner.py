"""One run of Ray Tune on a study: it runs the trials that the study lacks and hides Tune's own files and output."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial
from ray import tune
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from rich.console import Console

from bdw.config import RunConfig
from bdw.errors import InputError
from bdw.evaluation import Measure
from bdw.ray.cluster import Cluster
from bdw.ray.gpus import require_working_gpu
from bdw.ray.trial import DRIVER_CPU, ReleaseWorkers, TrialPlan, run_trial, trial_resources
from bdw.ray.workers import resources_in_words
from bdw.runs import trackers
from sweeps.runner import tracking
from sweeps.runner.checkpoint_clean_up import CheckpointCleanUp
from sweeps.runner.dashboard_metrics import DashboardMetrics
from sweeps.runner.limits import Limits, num_failed
from sweeps.runner.options import ALL, SweepOptions
from sweeps.runner.partial_results import PartialResults
from sweeps.runner.paths import Paths
from sweeps.runner.progress import SweepProgress
from sweeps.runner.publishing import Publish
from sweeps.study.searcher import Reasons, StudySearcher

STATE_OF_TUNE = ("*/experiment_state-*.json", "*/search*-state-*.pkl", "*/search_gen_state-*.json", "*/*.pkl")
"""Files by which Tune restores a run of its own. The study is what a sweep continues from."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workload:
    """How a trial is spread over the cluster, and which trackers get its epochs."""

    num_workers: int
    cpus_per_trial: float
    gpus_per_trial: float
    concurrency: int
    has_driver_resource: bool
    log_to: tuple[str, ...] = ()
    """Trackers besides TensorBoard (see `tracking`)."""
    remarks: tuple[str, ...] = ()
    """Lines for whoever waits for the trials."""
    limits: Limits = dataclasses.field(default_factory=Limits)
    """When no more trials are started."""
    keep_checkpoints_of: str = ALL
    """Trials whose checkpoints are kept (see `CheckpointCleanUp`)."""

    @classmethod
    def on(cls, cluster: Cluster, options: SweepOptions) -> Workload:
        """The workload, with open options filled in from the cluster: a CPU per worker, as many trials as fit.

        On a cluster that has no room for a trial yet, one trial. Raises `InputError` if a trial will never fit on this
        machine, or on a cluster that does not grow.
        """
        cpus, gpus = options.cpus_per_trial or float(options.num_workers), options.gpus_per_trial
        wants = resources_in_words(cpus, gpus)
        room = cluster.room(cpus / options.num_workers, gpus / options.num_workers) // options.num_workers
        if room == 0 and cluster.is_fixed:
            spread = "" if options.num_workers == 1 else f" on {options.num_workers} workers"
            raise InputError(
                f"num_workers, cpus_per_trial, gpus_per_trial: a trial wants {wants}{spread}; {cluster.in_words}"
            )
        fit = max(1, room)
        wanted = options.concurrency or fit
        remarks = [] if trackers.is_installed(trackers.TENSORBOARD) else [tracking.NO_TENSORBOARD]
        if room == 0:
            remarks.append(
                f"the cluster has no room for a trial yet: a trial wants {wants}; {cluster.in_words}. Waiting for "
                "machines; `ray status` on the head says what its autoscaler does"
            )
        if not cluster.is_ours and options.concurrency is None:
            remarks.append(
                f"trials side by side: {fit}; on a cluster that grows --concurrency N asks for machines for N"
            )
        return cls(
            num_workers=options.num_workers,
            cpus_per_trial=cpus,
            gpus_per_trial=options.gpus_per_trial,
            # More would wait for each other's workers for ever on a machine that cannot grow.
            concurrency=min(wanted, fit) if cluster.is_ours else wanted,
            has_driver_resource=cluster.has_driver_resource,
            log_to=options.log_to,
            remarks=tuple(remarks),
            limits=Limits(hours=options.max_hours, gpu_hours=options.max_gpu_hours, failures=options.max_failures),
            keep_checkpoints_of=options.keep_checkpoints_of,
        )

    def plan(self, paths: Paths, config: RunConfig, run: str) -> TrialPlan:
        """The plan of one trial."""
        cpus_per_worker = self.cpus_per_trial / self.num_workers
        if self.num_workers > 1 and not self.has_driver_resource:
            cpus_per_worker -= DRIVER_CPU
        placed = config.replace(
            run_dir=paths.run_dir(run),
            cache_dir=paths.data_cache,
            cache_address=paths.data_address,
            storage_path=paths.run_copy(run),
        )
        return TrialPlan(
            config=placed.flat(),
            num_workers=self.num_workers,
            cpus_per_worker=cpus_per_worker,
            gpus_per_worker=self.gpus_per_trial / self.num_workers,
            train_dir=paths.train_dir,
        )

    @property
    def labels(self) -> dict[str, float]:
        """What a trial reserves, to be stored with it."""
        return {"cpus": self.cpus_per_trial, "gpus": self.gpus_per_trial}

    def resources(self) -> tune.PlacementGroupFactory:
        """What Tune reserves for a trial."""
        like_all = TrialPlan(
            config={},
            num_workers=self.num_workers,
            cpus_per_worker=self.cpus_per_trial / self.num_workers,
            gpus_per_worker=self.gpus_per_trial / self.num_workers,
        )
        return trial_resources(like_all, has_driver_resource=self.has_driver_resource)


def run_trials(
    stage: str,
    searcher: StudySearcher,
    workload: Workload,
    paths: Paths,
    *,
    measure: Measure,
    console: Console,
    best_so_far: float = math.nan,
    scheduler: TrialScheduler | None = None,
    trainable: Callable[[dict[str, Any]], None] = run_trial,
    write: Callable[[], object] = lambda: None,
    best: Callable[[], Sequence[FrozenTrial]] | None = None,
) -> None:
    """Run the searcher's trials to their ends.

    `best_so_far` is the best score of trials that ended before, `trainable` what a trial does with its config, `write`
    makes the sweep's table and page while trials end. `best` says which trials are the best so far, where only their
    checkpoints are kept; by default `best_of_each_domain`.

    Tune always starts afresh: the study records what is done, and a trial finds its checkpoint in its run directory.
    Raises `InputError` if the study's storage is lost meanwhile, or the GPUs that trials reserve cannot be used.
    """
    clean_up = CheckpointCleanUp(workload.keep_checkpoints_of, searcher.study, paths, best=best)
    if searcher.num_open == 0:
        clean_up.finish()  # What an earlier start was too short for.
        return
    require_working_gpu("gpus_per_trial", workload.gpus_per_trial / workload.num_workers)
    for remark in workload.remarks:
        console.print(remark, soft_wrap=True)
    tune_dir = paths.path / "ray" / "tune"
    segment = 1 + sum(1 for path in tune_dir.glob(f"{stage}-*") if path.is_dir())
    progress = SweepProgress(
        stage,
        measure=measure,
        num_trials=searcher.num_open,
        console=console,
        # A trial of several workers waits itself, and says so; its own seat is always free.
        wants=resources_in_words(workload.cpus_per_trial, workload.gpus_per_trial) if workload.num_workers == 1 else "",
        best_so_far=best_so_far,
    )
    partial = PartialResults(write)
    failed_before = num_failed(searcher.study)
    searcher.stop_at(lambda: workload.limits.met(searcher.study, failed_before))
    with contextlib.ExitStack() as afterwards, progress, contextlib.closing(searcher), _no_trials_in_tunes_state():
        # At its end the sweep writes everything anyway.
        afterwards.push(lambda kind, *_: partial.write_due() if kind is not None else None)
        afterwards.callback(_forget_state, tune_dir)
        tune.Tuner(
            tune.with_resources(trainable, workload.resources()),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler or FIFOScheduler(),
                num_samples=-1,  # The searcher says when it is enough.
                max_concurrent_trials=workload.concurrency,
                # A trial that waits for its workers cannot be interrupted without ending its process.
                reuse_actors=workload.num_workers == 1,
                trial_name_creator=_run_of,
                trial_dirname_creator=_run_of,
            ),
            run_config=tune.RunConfig(
                name=f"{stage}-{segment:03d}",
                storage_path=str(tune_dir),
                failure_config=tune.FailureConfig(max_failures=1),
                callbacks=[
                    progress,
                    Reasons(searcher),
                    ReleaseWorkers(),
                    Publish(paths),
                    partial,
                    clean_up,
                    DashboardMetrics(progress, sweep=paths.name, stage=stage, measure=measure.name),
                    *tracking.loggers(workload.log_to, paths),
                ],
                verbose=0,
            ),
        ).fit()
    clean_up.finish()
    if searcher.limit_met is not None:
        console.print(f"{stage}: no more trials are started; {searcher.limit_met}", soft_wrap=True)


@contextlib.contextmanager
def _no_trials_in_tunes_state() -> Iterator[None]:
    """Keep trials out of the state that Tune writes at the end of a run, whatever its period, and reads back: every
    trial's config and reports, 50 KB a trial, which nobody would restore."""
    # A private name of Ray 2.60, hence the pin in pyproject.toml.
    kept = TuneController._get_trial_checkpoints
    TuneController._get_trial_checkpoints = lambda self: {}
    try:
        yield
    finally:
        TuneController._get_trial_checkpoints = kept


def _forget_state(tune_dir: Path) -> None:
    """Delete the rest of what Tune would need to restore the segment."""
    for pattern in STATE_OF_TUNE:
        for path in tune_dir.glob(pattern):
            path.unlink(missing_ok=True)


def _run_of(trial: Trial) -> str:
    run: str = trial.config["labels"]["run"]
    return Path(run).name
