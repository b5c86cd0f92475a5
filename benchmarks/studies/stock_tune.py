"""A sweep's search against Ray's own Tuner with OptunaSearch, on the same trials.

`python -m benchmarks.studies.stock_tune` runs both in turns, each in a process of its own, and compares their seconds
from start to exit. The trials are those of `benchmarks.grid_sweep --smoke`, a few seconds of training in all, so that
what is compared is what Tune, the study and the start cost.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from benchmarks.harness import provenance, write_result

ROOT = Path(__file__).resolve().parents[2]
SIDES = ("ours", "stock")


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    trials: int = 12
    """Trials of each search."""
    rounds: int = 5
    """How often each side runs."""
    only_stock: str | None = None
    """Run the stock side here, once, on the plans in this file; what the benchmark itself starts."""
    save: bool = False
    """Keep the result in benchmarks/results."""


def main(arguments: Arguments) -> None:
    """Print the seconds of both sides and their ratio, and keep them if asked to."""
    if arguments.only_stock is not None:
        run_stock(Path(arguments.only_stock))
        return
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    for turn in range(arguments.rounds):
        # The two take turns in coming first, so that a machine that slows down or speeds up favours neither.
        for side in SIDES if turn % 2 == 0 else reversed(SIDES):
            seconds[side].append(_seconds(side, arguments.trials))
        print({side: round(values[-1], 2) for side, values in seconds.items()}, flush=True)
    ratios = [ours / stock for ours, stock in zip(seconds["ours"], seconds["stock"], strict=True)]
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    print(f"{arguments.trials} trials: {statistics.median(ratios):.2f} times stock's seconds ({spread})")
    if arguments.save:
        contents = {**provenance(0), "trials": arguments.trials, "seconds": seconds, "ratios": ratios}
        write_result("stock-tune-cpu", contents)


def _seconds(side: str, trials: int) -> float:
    """Of a process from its start to its exit."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
        environment["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        if side == "ours":
            options = ("--smoke", "--samples", str(trials), "--targets", "digits", "--storage-path", folder)
            command = [sys.executable, "-m", "benchmarks.grid_sweep", *options, "--name", "sweep"]
        else:
            plans = Path(folder) / "plans.json"
            plans.write_text(json.dumps(_plans(trials, folder)))
            command = [sys.executable, "-m", "benchmarks.studies.stock_tune", "--only-stock", str(plans)]
        began = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
        seconds = time.monotonic() - began
        complete = len(list(Path(folder).glob("**/results.parquet")))
        if done.returncode != 0 or complete != trials:
            raise RuntimeError(f"{side}: status {done.returncode}, {complete} of {trials} runs\n{done.stderr[-2000:]}")
    return seconds


def _plans(trials: int, folder: str) -> list[dict[str, Any]]:
    """The plans of the grid's trials, as fields of a `TrialPlan`."""
    from bdw.ray.trial import TrialPlan
    from benchmarks.grid_sweep import Grid
    from sweeps.runner.datasets import CHOICES, base_config
    from sweeps.runner.episode_designs import Design
    from sweeps.runner.space import fields_of

    choice = CHOICES["digits"]
    base = base_config(choice, data_root=None, download=False, target="digits", epochs=choice.smoke.epochs)
    base = base.replace(max_source=choice.smoke.max_source, report=False, budget_unit="epochs")
    base = base.replace(keep_checkpoints=base.budget.epochs, cache_dir=f"{folder}/packed")
    space = Grid((Design.of(base),), 4, choice.recipes, size=trials)
    plans = []
    for number, cell in enumerate(space.paper_cells()):
        config = base.replace(**fields_of(cell), run_dir=f"{folder}/runs/{number}")
        plans.append(dataclasses.asdict(TrialPlan(config=config.flat())))
    return plans


def run_stock(plans: Path) -> None:
    """Ray's own searcher, as its manual shows it; trials take over each other's processes, as a sweep's do."""
    import ray
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    from bdw.ray.trial import run_trial

    found = json.loads(plans.read_text())
    space = functools.partial(_drawn, found)
    ray.init(address="local", runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}}, log_to_driver=False)
    points = [{"cell": number} for number in range(len(found))]
    tune.Tuner(
        tune.with_resources(run_trial, {"CPU": 1}),
        tune_config=tune.TuneConfig(
            search_alg=OptunaSearch(space, metric="best_validation_score", mode="max", points_to_evaluate=points),
            num_samples=len(found),
            max_concurrent_trials=os.cpu_count(),
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(name="stock", storage_path=str(plans.parent), verbose=1),
    ).fit()
    ray.shutdown()


def _drawn(plans: list[dict[str, Any]], trial: Any) -> dict[str, Any]:
    return {"plan": plans[trial.suggest_categorical("cell", list(range(len(plans))))]}


if __name__ == "__main__":
    main(tyro.cli(Arguments))
