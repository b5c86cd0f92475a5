"""A search of one's own as a user runs it: one objective, several with a front, several targets and seeds, Python."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState
from PIL import Image
from ray import tune

import sweeps
from bdw.errors import InputError
from bdw.runs.directory import RunDirectory
from sweeps.search import Options, main
from sweeps.study.open_study import open_storage
from sweeps.tuning.api import tune as search

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "own_sweep_space.py"


def study_of(sweep: Path) -> optuna.Study:
    return optuna.load_study(storage=open_storage(sweep / "study.journal"), study_name=sweep.name)


@pytest.fixture
def images(tmp_path: Path) -> tuple[str, str]:
    """Folders of a user's own: 40 pictures, and 12 labelled ones of each of two classes."""
    rng = np.random.default_rng(0)
    for folder, count, level in (("photos", 40, 128), ("labelled/dark", 12, 60), ("labelled/light", 12, 190)):
        (tmp_path / folder).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(level - 50, level + 50, (12, 12, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{i}.png")
    return str(tmp_path / "photos"), str(tmp_path / "labelled")


SMALL = [
    "encoder=small_cnn", "image_size=12", "crop_size=12", "ways=2", "shots=2", "queries=2",
    "batch_size=8,16", "epochs=1", "flip=false", "target_batch=8",
]  # fmt: skip


@pytest.mark.long
def test_own_images_two_objectives_and_a_front(
    tmp_path: Path, images: tuple[str, str], run_entry: Callable[..., str]
) -> None:
    (tmp_path / "space.toml").write_text("weight_lr = { low = 1, high = 10, log = true }\n")
    arguments = ["--source", images[0], "--target", images[1], "--storage-path", str(tmp_path), "--name", "own"]
    arguments += ["--objective", "linear_accuracy:max", "rankme", "seconds:min", "--sampler", "nsga2:population_size=4"]
    arguments += ["--samples", "4", "--space", str(tmp_path / "space.toml"), *SMALL]
    said = run_entry(main, arguments)
    sweep = tmp_path / "own"
    assert said.splitlines()[-1] == f"report: {sweep / 'report.html'}"
    assert "trials that no other one beats in all objectives" in said
    study = study_of(sweep)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 4
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MAXIMIZE", "MINIMIZE"]
    first = study.trials[0]
    rows = RunDirectory(sweep / "runs" / first.user_attrs["run"]).read_metrics()
    assert first.values == [rows[-1]["validation_score"], rows[-1]["rankme"], rows[-1]["wall_seconds"]]
    assert {trial.params["batch_size"] for trial in study.trials} <= {8, 16}
    front = pd.read_csv(sweep / "pareto.csv")
    assert sorted(front["trial"]) == sorted(trial.number for trial in study.best_trials), "Optuna's own front"
    trials = pd.read_csv(sweep / "trials.csv")
    assert sorted(trials.loc[trials["front"] == "yes", "trial"]) == sorted(front["trial"])
    found = json.loads((sweep / "best.json").read_text())
    assert set(found[0]["objectives"]) == {"accuracy", "rankme", "seconds"}
    assert f"--source {images[0]}" in found[0]["command"]
    again = run_entry(main, arguments)
    assert "epoch" not in again.partition("cost of")[0], "nothing runs twice"


@pytest.mark.long
def test_several_targets_and_seeds_count_by_their_mean_gain(tmp_path: Path, run_entry: Callable[..., str]) -> None:
    arguments = ["--smoke", "--source", "digits", "--targets", "digits", "digits-inverted", "--seeds", "0", "1"]
    arguments += ["--storage-path", str(tmp_path), "--name", "several", "--samples", "2"]
    run_entry(main, [*arguments, "--space", "weight_lr=0.5..50:log", "max_source=64"])
    study = study_of(tmp_path / "several")
    complete = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    assert complete[0].user_attrs["origin"] == "start"
    assert complete[0].values == [0.0], "the start gains nothing over itself"
    reference = np.array(complete[0].user_attrs["run_scores"])
    for trial in complete:
        assert len(trial.user_attrs["runs"]) == 4
        scores = np.array(trial.user_attrs["run_scores"])
        assert trial.values == [pytest.approx(float((scores - reference).mean()))]
    rows = pd.read_csv(tmp_path / "several" / "trials.csv")
    assert rows["mean_gain"].notna().sum() == len(complete)


@pytest.mark.long
def test_a_grid_and_mean_ranks(tmp_path: Path, local_ray: None, run_entry: Callable[..., str]) -> None:
    grid = search(
        {"weight_lr": tune.grid_search([1.0, 30.0]), "meta_every": tune.choice([1, 2]), "epochs": 1, "max_source": 64},
        source="digits",
        target="digits",
        seeds=[0, 1],
        over="mean_rank",
        sampler="grid",
        storage_path=str(tmp_path),
        name="grid",
        verbose=0,
    )
    assert len(grid) == 4
    assert {(r.config["weighter.weight_lr"], r.config["weighter.meta_every"]) for r in grid} == {
        (1.0, 1), (1.0, 2), (30.0, 1), (30.0, 2),
    }  # fmt: skip
    ranks = [result.metrics["mean_rank"] for result in grid]
    assert np.mean(ranks) == 2.5, "whatever the ties"
    assert grid.get_best_result().metrics["mean_rank"] == min(ranks)
    assert grid.get_best_result("mean_rank").metrics["mean_rank"] == min(ranks)
    assert grid.get_best_result("wall_seconds", "max").metrics["wall_seconds"] == max(
        result.metrics["wall_seconds"] for result in grid
    )
    assert (grid.num_errors, grid.num_terminated, grid.errors) == (0, 4, [])
    assert grid.get_dataframe()["front"].notna().sum() == 1
    assert isinstance(grid.study, optuna.Study)
    path = Path(grid[0].path)
    assert (path / "encoder.safetensors").is_file()
    assert Path(grid[0].checkpoint.path) == path
    with pytest.raises(InputError, match=r"metric: 'mean_rnk' is not known .did you mean 'mean_rank'"):
        grid.get_best_result("mean_rnk")
    with pytest.raises(InputError, match="allowed: 'max' or 'min'"):
        grid.get_best_result("wall_seconds")


@pytest.mark.usefixtures("run_entry")
def test_the_example_of_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(EXAMPLE.read_text().splitlines()) <= 60
    monkeypatch.setenv("HOME", str(tmp_path))
    example = runpy.run_path(str(EXAMPLE))
    example["main"](str(tmp_path))
    said = capsys.readouterr().out
    assert "4 trials, 0 of them failed" in said
    assert "Optuna's front:" in said
    grid = example["search"](str(tmp_path), verbose=0)
    assert isinstance(grid, sweeps.ResultGrid)
    assert len(grid) == 4, "a search of the same name goes on, and has nothing left to do"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--space", "weigth_lr=1..2"], "space: 'weigth_lr' is not known (did you mean 'weight_lr'?)"),
        (["--objective", "acc"], "objective: 'acc' is not known"),
        (["--sampler", "cmaes"], "sampler: 'cmaes' is not known"),
        (["--scheduler", "pbt"], "scheduler: 'pbt' cannot work"),
        (["--source", "nowhere/photos"], "targets: none given"),
        (["--sampler", "grid"], "'grid' cannot visit every value"),
        (["--samples", "0"], "samples: 0 cannot work; allowed: 1 or more"),
        (["--targets", "digits", "digits"], "targets: 'digits' is given twice"),
        (["--preset", "digit"], "preset: 'digit' is not known (did you mean 'digits'?)"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments: list[str], message: str, refused: Callable[..., str]) -> None:
    assert message in refused(main, arguments, "search")


def test_what_a_cluster_must_see_is_named() -> None:
    """`sweeps.jobs.submit` refuses relative ones of these."""
    options = Options(source="photos/a", targets=("digits", "labelled/b"), space=("my/space.toml", "epochs=1"))
    assert options.places == {"source": "photos/a", "targets": "labelled/b", "space": "my/space.toml"}
    assert Options(source="digits", targets=("digits",), space=("epochs=1",)).places == {}


def test_python_refuses_options_that_there_are_not() -> None:
    with pytest.raises(InputError, match=r"options: 'num_sampels' is not known"):
        search({"weight_lr": tune.uniform(1, 2)}, num_sampels=3)
    with pytest.raises(InputError, match="seeds: 'one' cannot work; allowed: a list"):
        search({"weight_lr": tune.uniform(1, 2)}, seeds="one")
    with pytest.raises(InputError, match="weight_lr: Optuna search does not support"):
        search({"weight_lr": tune.randn(1, 2)})
    with pytest.raises(InputError, match=r"weight_lr: .* cannot work; allowed: what JSON has"):
        search({"weight_lr": object()})
