"""The main job as a user runs it: from nothing to a report, through a kill, with a storage address."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState

from sweeps.study import open_storage

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = str(ROOT / "sweeps" / "stl10_pruning.py")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def start(arguments: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, SCRIPT, *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def trials_of(sweep: Path, name: str) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=name, storage=open_storage(sweep / "study.journal")).get_trials()


def test_smoke_sweep_through_a_kill(tmp_path: Path, environment: dict[str, str]) -> None:
    arguments = ["--smoke", "--storage-path", str(tmp_path / "sweeps"), "--name", "smoke"]
    sweep = tmp_path / "sweeps" / "smoke"

    killed = start(arguments, environment)
    assert killed.stdout is not None
    for line in killed.stdout:
        if "epoch 2/2" in line:
            break
    killed.send_signal(signal.SIGKILL)
    killed.communicate()

    said, _ = start(arguments, environment).communicate()
    assert f"report: {sweep / 'report.html'}" in said.splitlines()[-1], said
    trials = trials_of(sweep, "smoke")
    settled = [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    runs = [trial.user_attrs["run"] for trial in settled]
    assert len(runs) == len(set(runs)) == 9
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL}
    assert sum(trial.user_attrs.get("origin") == "paper" for trial in settled) == 8

    results = pd.read_parquet(sweep / "results.parquet")
    accuracy = results[results["metric"] == "accuracy"]
    assert set(accuracy["domain"]) == {"digits", "digits-inverted"}
    assert {"RotNet", "BDW (paper's cell)", "BDW (pretext meta-loss)"} <= set(accuracy["method"])
    assert not accuracy.duplicated(["method", "domain", "seed"]).any()
    assert all((sweep / run / "encoder.safetensors").is_file() for run in accuracy["run"])
    table = pd.read_csv(sweep / "trials.csv")
    assert {"BDW", "RotNet"} == set(table["method"].dropna())
    for name in ("pareto.png", "critical_difference.png", "critical_difference.pdf", "report.html"):
        assert (sweep / name).stat().st_size > 5_000
    assert "illustration" in json.loads((sweep / "comparison.json").read_text())["verdict"]
    assert not (tmp_path / "home" / ".ray").exists()  # Where a token would change how later clusters behave.

    said, _ = start(arguments, environment).communicate()
    assert "epoch" not in said, "a finished sweep runs nothing again"
    assert len(trials_of(sweep, "smoke")) == len(trials)


def test_two_objectives_and_a_storage_address(tmp_path: Path, environment: dict[str, str]) -> None:
    arguments = ["--smoke", "--storage-path", f"file://{tmp_path}/storage", "--name", "pair", "--targets", "digits"]
    arguments += ["--samples", "1", "--epochs", "1", "--objective", "accuracy-seconds"]
    said, _ = start(arguments, environment).communicate()
    assert "report: " in said, said
    assert "critical_difference.png: 3 methods on 1 domains" in said
    sweep = tmp_path / "storage" / "pair"
    assert {"study.journal", "report.html", "results.parquet", "trials.csv", "pareto.png"} <= {
        path.name for path in sweep.iterdir()
    }
    (trial,) = [trial for trial in trials_of(sweep, "pair") if trial.state == TrialState.COMPLETE]
    assert len(trial.values) == 2
    assert (sweep / "runs" / trial.user_attrs["run"] / "encoder.safetensors").is_file()


def test_bad_input_ends_with_status_2_and_one_line(environment: dict[str, str]) -> None:
    bad = subprocess.run(
        [sys.executable, SCRIPT, "--data", "digit"], env=environment, capture_output=True, text=True, check=False
    )
    assert bad.returncode == 2
    assert bad.stderr == (
        "stl10_pruning: data: 'digit' is not known (did you mean 'digits'?); allowed: digits, stl10, tiny-imagenet\n"
    )
