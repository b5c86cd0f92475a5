"""The main job as a user runs it: from nothing to a report, through a kill, with a storage address."""

from __future__ import annotations

import html
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState
from pyarrow import fs

from sweeps.stl10_pruning import main
from sweeps.study.open_study import open_storage

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = str(ROOT / "sweeps" / "stl10_pruning.py")

METHODS = {
    *("plain training", "random subset", "nearest neighbours"),
    *("BDW, paper's cell", "BDW, recommended", "oracle"),
}


def start(arguments: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, SCRIPT, *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def trials_of(sweep: Path, name: str) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=name, storage=open_storage(sweep / "study.journal")).get_trials()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_smoke_sweep_through_a_kill(tmp_path: Path, environment: dict[str, str]) -> None:
    arguments = ["--smoke", "--storage-path", str(tmp_path / "sweeps"), "--name", "smoke"]
    sweep = tmp_path / "sweeps" / "smoke"

    killed = start(arguments, environment)
    assert killed.stdout is not None
    for line in killed.stdout:
        if "100 % of the budget" in line:
            break
    killed.send_signal(signal.SIGKILL)
    killed.communicate()

    said, _ = start(arguments, environment).communicate()
    assert f"report: {sweep / 'report.html'}" in said.splitlines()[-1], said
    trials = trials_of(sweep, "smoke")
    settled = [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    runs = [trial.user_attrs["run"] for trial in settled]
    assert len(runs) == len(set(runs)) == 10
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL}
    origins = Counter(trial.user_attrs.get("origin") for trial in settled)
    assert origins == {"paper": 8, "recommended": 1, None: 1}
    (recommended,) = [trial for trial in settled if trial.user_attrs.get("origin") == "recommended"]
    assert recommended.state == TrialState.COMPLETE, "published settings are never stopped"
    assert {trial.user_attrs["domain"] for trial in settled} == {"glyphs-lao"}

    results = pd.read_parquet(sweep / "results.parquet")
    accuracy = results[results["metric"] == "accuracy"]
    assert set(accuracy["domain"]) == {"glyphs-latin", "glyphs-greek"}, "none that was searched for"
    assert set(accuracy["method"]) == METHODS
    assert len(accuracy) == 2 * len(METHODS), "one seed"
    assert not accuracy.duplicated(["method", "domain", "seed"]).any()
    assert all((sweep / run / "encoder.safetensors").is_file() for run in accuracy["run"])
    table = pd.read_csv(sweep / "trials.csv")
    assert {"BDW", "plain training"} == set(table["method"].dropna())
    assert set(table["domain"]) == {"glyphs-lao"}
    pictures = ("pareto.png", "critical_difference.png", "critical_difference.pdf", "curves.png", "report.html")
    for name in pictures:
        assert (sweep / name).stat().st_size > 5_000
    assert "rendered" in json.loads((sweep / "comparison.json").read_text())["verdict"]
    require_equal_budgets(sweep, accuracy)
    assert not (tmp_path / "home" / ".ray").exists()  # Where a token would change how later clusters behave.

    said, _ = start(arguments, environment).communicate()
    assert "of the budget" not in said, "a finished sweep runs nothing again"
    assert len(trials_of(sweep, "smoke")) == len(trials)


def require_equal_budgets(sweep: Path, accuracy: pd.DataFrame) -> None:
    """All methods have trained on as many images, up to a batch; random subsets on as many different ones as the
    recommended recipe; and the curves and the page's story are about these runs."""
    assert accuracy["instances_seen"].between(2 * 600, 2 * 600 + 31).all()
    kept = accuracy.pivot_table(index="domain", columns="method", values="kept_fraction")
    assert (kept["random subset"] == kept["BDW, recommended"]).all()
    curves = pd.read_parquet(sweep / "curves.parquet")
    ends = curves.groupby(["method", "domain", "seed"])["budget_share"].max()
    assert len(ends) == len(accuracy)
    assert (ends == 1).all()
    story = json.loads((sweep / "story.json").read_text())
    assert story["findings"]["method"] == "BDW, recommended"
    assert story["findings"]["baseline"] == "plain training"
    page = (sweep / "report.html").read_text()
    assert all(sentence in html.unescape(page) for sentence in story["verdict"])


def test_two_objectives_and_an_object_store(tmp_path: Path, s3_address: str, run_entry: Callable[..., str]) -> None:
    """Trials on Ray and the driver send their files to a bucket, each by itself."""
    arguments = ["--smoke", "--storage-path", s3_address, "--name", "pair"]
    arguments += ["--data", "digits", "--targets", "digits"]
    arguments += ["--samples", "1", "--epochs", "1", "--objective", "accuracy-seconds"]
    said = run_entry(main, arguments)
    assert "report: " in said
    assert "critical_difference.png: 5 methods on 1 domains" in said
    store, root = fs.FileSystem.from_uri(s3_address)
    sweep = tmp_path / "copy"
    fs.copy_files(f"{root}/pair", str(sweep), source_filesystem=store)
    assert {"study.journal", "report.html", "results.parquet", "trials.csv", "pareto.png"} <= {
        path.name for path in sweep.iterdir()
    }
    (trial,) = [trial for trial in trials_of(sweep, "pair") if trial.state == TrialState.COMPLETE]
    assert len(trial.values) == 2
    results = pd.read_parquet(sweep / "results.parquet")
    for run in (f"runs/{trial.user_attrs['run']}", *results["run"]):
        assert (sweep / run / "encoder.safetensors").is_file()


def test_bad_input_ends_with_status_2_and_one_line(environment: dict[str, str]) -> None:
    bad = subprocess.run(
        [sys.executable, SCRIPT, "--data", "glyph"], env=environment, capture_output=True, text=True, check=False
    )
    assert bad.returncode == 2
    assert bad.stderr == (
        "stl10_pruning: data: 'glyph' is not known (did you mean 'glyphs'?); "
        "allowed: digits, glyphs, stl10, tiny-imagenet\n"
    )
