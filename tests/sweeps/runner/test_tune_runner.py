"""Tune, searcher and study together: real trials on a small Ray end in their true states."""

from __future__ import annotations

import dataclasses
import io
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
import ray
from optuna.trial import TrialState
from ray.data._internal.cluster_autoscaler.default_autoscaling_coordinator import get_or_create_autoscaling_coordinator
from rich.console import Console

from bdw.config import RunConfig
from bdw.errors import InputError
from bdw.evaluation import measure
from bdw.ray.cluster import Cluster
from sweeps.runner import tune_runner
from sweeps.runner.options import SweepOptions
from sweeps.runner.paths import Paths
from sweeps.runner.tune_runner import Workload, run_trials
from sweeps.study.early_stopping import BudgetHalving
from sweeps.study.objective import score_alone
from sweeps.study.open_study import open_storage, open_study
from sweeps.study.searcher import THOUSANDTHS, StudySearcher

EPOCHS = 2
BASE = RunConfig().replace(
    **{
        "image_size": 8,
        "crop_size": 8,
        "crop_padding": 1,
        "max_source": 64,
        "batch_size": 32,
        "epochs": EPOCHS,
        "ways": 5,
        "shots": 2,
        "queries": 2,
        "report": False,
        "device": "cpu",
    }
)


class StopTheWeak(BudgetHalving):
    """Stops exactly those trials that say so, after their first epoch."""

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:
        super().on_trial_result(tune_controller, trial, result)
        return "STOP" if trial.config["labels"]["weak"] and result.get("epoch") else "CONTINUE"


def run(tmp_path: Path, workload: Workload, changes: list[dict[str, Any]]) -> tuple[optuna.Study, str]:
    """One trial per set of changes to the config; `weak` ones are stopped early."""
    paths = Paths.of(str(tmp_path), "sweep")
    paths.prepare()
    study = open_study(
        open_storage(paths.path / "study.journal"), "sweep", directions=["maximize"], experiment={}, seed=0
    )
    left = list(changes)

    def propose(trial: optuna.Trial) -> dict[str, Any]:
        change = left.pop(0)
        weak = change.pop("weak", False)
        config = BASE.replace(**change)
        name = paths.run_name(config, "BDW", "")
        labels = {"run": name, "title": name, "method": "BDW", "weak": weak}
        return {"plan": dataclasses.asdict(workload.plan(paths, config, name)), "labels": labels}

    searcher = StudySearcher(study, propose, objective=score_alone(measure("accuracy")), num_new=len(changes))
    said = io.StringIO()
    run_trials(
        "search",
        searcher,
        workload,
        paths,
        measure=measure("accuracy"),
        console=Console(file=said, width=200),
        scheduler=StopTheWeak(measure("accuracy")),
    )
    return study, said.getvalue()


def workload(num_workers: int) -> Workload:
    return Workload(
        num_workers=num_workers,
        cpus_per_trial=float(num_workers),
        gpus_per_trial=0.0,
        concurrency=1,
        has_driver_resource=True,
    )


@pytest.mark.usefixtures("local_ray")
def test_true_states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states: list[dict[str, Any]] = []

    def look(tune_dir: Path) -> None:
        states.extend(json.loads(path.read_text()) for path in tune_dir.glob("*/experiment_state-*.json"))

    monkeypatch.setattr(tune_runner, "_forget_state", look)
    monkeypatch.chdir(tmp_path)
    changes = [{}, {"weak": True, "seed": 1}, {"learning_rate": 1e30, "seed": 2}, {"encoder": "nonsense"}]
    study, said = run(tmp_path, workload(1), changes)
    complete, pruned, not_finite, no_encoder = study.get_trials()
    assert complete.state == TrialState.COMPLETE
    assert complete.user_attrs["epoch"] == EPOCHS
    assert {row["metric"] for row in complete.user_attrs["results"]} >= {"accuracy"}
    assert complete.user_attrs.keys() >= {"run", "method", "wall_seconds", "instances_seen"}
    assert pruned.state == TrialState.PRUNED
    assert list(pruned.intermediate_values) == [THOUSANDTHS // EPOCHS]
    assert not_finite.state == TrialState.FAIL
    assert not_finite.user_attrs["reason"].startswith("NonFiniteError: ")
    assert no_encoder.state == TrialState.FAIL
    assert no_encoder.user_attrs["reason"].startswith("InputError: encoder: 'nonsense' is not known")
    assert "1 complete, 1 pruned, 2 failed of 4  0 running" in said
    assert [state["trial_data"] for state in states] == [[]], "Tune's state grows with every trial"


@pytest.mark.long
@pytest.mark.usefixtures("local_ray")
def test_a_stopped_group_of_workers_asks_for_no_machines_any_more(tmp_path: Path) -> None:
    study, _ = run(tmp_path, workload(2), [{"weak": True}])
    (trial,) = study.get_trials()
    assert trial.state == TrialState.PRUNED
    coordinator = get_or_create_autoscaling_coordinator()
    assert ray.get(coordinator.__ray_call__.remote(requests_of)) == []


@pytest.mark.long
@pytest.mark.usefixtures("local_ray")
def test_a_trial_that_waits_for_its_workers_says_so_and_completes(tmp_path: Path) -> None:
    """Another job has three of the four CPUs for a while."""
    holder = ray.remote(num_cpus=3)(Holder).remote()
    ray.get(holder.there.remote())
    threading.Timer(25.0, lambda: ray.kill(holder)).start()
    study, said = run(tmp_path, workload(2), [{}])
    (trial,) = study.get_trials()
    assert trial.state == TrialState.COMPLETE
    assert trial.user_attrs["epoch"] == EPOCHS
    assert "0 complete of 1  0 running  1 waiting for 2 CPUs" in said


class Holder:
    def there(self) -> bool:
        return True


def requests_of(coordinator: Any) -> list[str]:
    return list(coordinator._ongoing_reqs)


HERE = Cluster(cpus=4, gpus=1, has_driver_resource=True, is_ours=True)


@pytest.mark.parametrize(
    ("options", "concurrency", "cpus_per_worker"),
    [
        (SweepOptions(), 4, 1.0),
        (SweepOptions(concurrency=2), 2, 1.0),
        (SweepOptions(concurrency=9), 4, 1.0),
        (SweepOptions(num_workers=2), 2, 1.0),
        (SweepOptions(num_workers=2, cpus_per_trial=4.0), 1, 2.0),
        (SweepOptions(gpus_per_trial=0.5), 2, 1.0),
    ],
)
def test_as_many_trials_as_fit(options: SweepOptions, concurrency: int, cpus_per_worker: float) -> None:
    found = Workload.on(HERE, options)
    assert found.concurrency == concurrency
    assert found.plan(Paths.of("/a", "sweep"), BASE, "run").cpus_per_worker == cpus_per_worker


def test_a_trial_that_never_fits_is_refused() -> None:
    with pytest.raises(InputError, match="a trial wants 8 CPUs on 8 workers; this machine has 4 CPUs and 1 GPUs"):
        Workload.on(HERE, SweepOptions(num_workers=8))
    growing = dataclasses.replace(HERE, cpus=0, is_ours=False)
    assert Workload.on(growing, SweepOptions(num_workers=8, concurrency=3)).concurrency == 3
    assert Workload.on(growing, SweepOptions(num_workers=8)).concurrency == 1


def test_whoever_waits_for_machines_is_told() -> None:
    assert Workload.on(HERE, SweepOptions()).remarks == ()
    joined = dataclasses.replace(HERE, is_ours=False)
    assert Workload.on(joined, SweepOptions(concurrency=9)).remarks == ()
    (remark,) = Workload.on(joined, SweepOptions()).remarks
    assert remark == "trials side by side: 4; on a cluster that grows --concurrency N asks for machines for N"
    empty, _ = Workload.on(dataclasses.replace(joined, cpus=0, gpus=0), SweepOptions(gpus_per_trial=2)).remarks
    assert (
        "no room for a trial yet: a trial wants 1 CPU and 2 GPUs; the cluster has 0 CPUs and 0 GPUs. Waiting" in empty
    )


TWO_MACHINES = ((2.0, 0.0), (4.0, 1.0))


@pytest.mark.parametrize(
    ("options", "wants"),
    [
        (SweepOptions(cpus_per_trial=5.0), "5 CPUs"),
        (SweepOptions(num_workers=2, cpus_per_trial=10.0), "10 CPUs on 2 workers"),
        (SweepOptions(num_workers=3, cpus_per_trial=6.6), "6.6 CPUs on 3 workers"),
        (SweepOptions(gpus_per_trial=2), "1 CPU and 2 GPUs"),
        (SweepOptions(num_workers=2, gpus_per_trial=2), "2 CPUs and 2 GPUs on 2 workers"),
    ],
)
def test_what_a_fixed_cluster_can_never_have_is_refused_at_the_start(options: SweepOptions, wants: str) -> None:
    """6 CPUs in all, but no machine has more than 4; the second machine has the only GPU."""
    fixed = Cluster(6.0, 1.0, has_driver_resource=True, is_ours=False, machines=TWO_MACHINES, grows=False)
    there = "the cluster has 6 CPUs and 1 GPUs on 2 machines and does not grow"
    with pytest.raises(InputError, match=f"a trial wants {wants}; {there}"):
        Workload.on(fixed, options)
    for grows in (True, None):
        waiting = Workload.on(dataclasses.replace(fixed, grows=grows), options)
        assert "the cluster has no room for a trial yet" in waiting.remarks[0]


def test_workers_of_a_trial_may_lie_on_several_machines() -> None:
    fixed = Cluster(6.0, 1.0, has_driver_resource=True, is_ours=False, machines=TWO_MACHINES, grows=False)
    assert Workload.on(fixed, SweepOptions(num_workers=6)).concurrency == 1
    assert Workload.on(fixed, SweepOptions(num_workers=3)).concurrency == 2
    assert Workload.on(fixed, SweepOptions(num_workers=3, cpus_per_trial=6.0)).concurrency == 1


def test_without_seats_for_drivers_workers_leave_them_a_little() -> None:
    cluster = dataclasses.replace(HERE, cpus=2, has_driver_resource=False)
    found = Workload.on(cluster, SweepOptions(num_workers=2))
    plan = found.plan(Paths.of("/a", "sweep"), BASE, "run")
    assert found.concurrency * (2 * plan.cpus_per_worker + found.resources().bundles[0]["CPU"]) <= 2
