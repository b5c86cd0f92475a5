"""What is chosen, that training on it is training on nothing else, and what is said of many runs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import wilcoxon

from bdw.config import RunConfig
from bdw.data import Problem, load
from bdw.errors import InputError
from bdw.trainer import iterate
from benchmarks import kept_sets
from benchmarks.kept_sets import chosen_rows
from benchmarks.subsets import final_scores, mean_weights, trained_on


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunConfig, Problem]:
    config = RunConfig().replace(max_source=300, epochs=2, evaluate_every=2, report=False, device="cpu")
    return config, load(config.data, tmp_path_factory.mktemp("packed"))


def test_training_on_all_images_is_plain_training(digits: tuple[RunConfig, Problem], tmp_path: Path) -> None:
    config, problem = digits
    config = config.replace(final_measures=["pretext_loss"])
    plain = config.replace(weighter="uniform", run_dir=str(tmp_path / "plain"))
    (*_, last) = iterate(plain, problem=problem)
    found = trained_on(np.arange(300), config, problem, str(tmp_path))
    scores = final_scores(tmp_path / "plain")
    assert found["accuracy"] == round(scores["accuracy"], 5)
    assert found["pretext_loss"] == round(scores["pretext_loss"], 5)
    assert found["instances"] == last.instances_seen


def test_training_on_some_images_never_sees_the_others(digits: tuple[RunConfig, Problem], tmp_path: Path) -> None:
    config, problem = digits
    rows = np.arange(0, 300, 3)
    found = trained_on(rows, config, problem, str(tmp_path))
    assert (found["images"], found["instances"]) == (100, 200)
    images = np.array(problem.source.images)
    images[np.setdiff1d(np.arange(300), rows)] = 0
    blank = Problem(dataclasses.replace(problem.source, images=images), problem.target)
    assert trained_on(rows, config, blank, str(tmp_path))["accuracy"] == found["accuracy"]


def test_fewer_images_than_a_batch_are_refused(digits: tuple[RunConfig, Problem], tmp_path: Path) -> None:
    config, problem = digits
    with pytest.raises(InputError, match="subset: 63 images are less than a batch; allowed: 64 or more"):
        trained_on(np.arange(63), config, problem, str(tmp_path))


def test_a_run_that_weighs_prunes_nothing(digits: tuple[RunConfig, Problem], tmp_path: Path) -> None:
    config, problem = digits
    weights, run = mean_weights(config.replace(weighter="beta", weight_lr=1000.0), problem, str(tmp_path))
    assert weights.shape == (300,)
    assert weights.std() > 0.1
    assert run["instances"] == 600


def test_the_images_of_the_highest_weights_are_kept() -> None:
    weights = np.random.default_rng(0).uniform(size=1000)
    planted = (np.arange(1000) % 10 == 0).astype(np.int8)
    chosen = chosen_rows(weights, planted, share=0.3, seed=1)
    assert {len(np.unique(rows)) for rows in chosen.values()} == {300}
    assert set(chosen["kept"]) == set(np.argpartition(weights, 700)[700:])
    assert set(np.flatnonzero(planted)) <= set(chosen["oracle"])
    assert 60 < len(set(chosen["kept"]) & set(chosen["random"])) < 120, "as by chance, 90 of 300"


def test_weights_that_say_nothing_choose_at_random() -> None:
    chosen = chosen_rows(np.ones(100), None, share=0.3, seed=0)
    assert list(chosen["kept"]) == list(chosen["random"])
    assert "oracle" not in chosen
    assert list(chosen["random"]) != list(chosen_rows(np.ones(100), None, share=0.3, seed=1)["random"])


def test_targets_are_compared_by_their_means_over_seeds() -> None:
    rng = np.random.default_rng(2)
    accuracy = {name: rng.uniform(0.4, 0.6, (8, 2)) for name in ("kept", "random", "whole")}
    accuracy["random"] += 0.05
    runs = [
        {"target": f"t{target}", "seed": seed, "trained_on": name, "accuracy": float(values[target, seed])}
        for name, values in accuracy.items()
        for target in range(8)
        for seed in range(2)
    ]
    against_random, against_whole = kept_sets.summary(runs)["comparisons"]
    differences = (accuracy["kept"] - accuracy["random"]).mean(axis=1)
    assert (against_random["first"], against_random["second"], against_whole["second"]) == ("kept", "random", "whole")
    assert (against_random["better_on"], against_random["worse_on"]) == (
        (differences > 0).sum(),
        (differences < 0).sum(),
    )
    mean, low, high = against_random["mean_difference"]
    assert mean == pytest.approx(differences.mean(), abs=1e-5)
    assert low < mean < high
    expected = wilcoxon(differences, method="exact")
    assert against_random["wilcoxon_p_value"] == pytest.approx(expected.pvalue, abs=1e-5)
    sizes = np.argsort(np.argsort(np.abs(differences))) + 1
    assert against_random["rank_biserial"][0] == pytest.approx(
        (sizes * np.sign(differences)).sum() / sizes.sum(), abs=1e-5
    )


def test_a_single_target_is_not_tested() -> None:
    runs = [{"target": "t", "seed": 0, "trained_on": name, "accuracy": 0.5} for name in ("kept", "random", "whole")]
    assert kept_sets.summary(runs) == {"accuracy": {"t": {"kept": 0.5, "random": 0.5, "whole": 0.5}}, "comparisons": []}


def test_a_mixture_that_holds_the_target_has_an_oracle(
    results: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = kept_sets.Arguments(
        data_root=str(shared_data), source="mixture:kmnist+gtsrb", targets=("kmnist",), target_fraction=0.1, seeds=(0,),
        epochs=3, max_source=240, image_size=16, method="BDW meta_loss=pretext", save="x",
    )  # fmt: skip
    kept_sets.main(arguments)
    saved = json.loads((results / "x.json").read_text())
    by_name = {run["trained_on"]: run for run in saved["runs"]}
    assert {name: (run["images"], run["instances"]) for name, run in by_name.items()} == {
        "weighted": (240, 720), "kept": (72, 216), "random": (72, 216), "oracle": (72, 216), "whole": (240, 240),
    }  # fmt: skip
    assert all(0.1 < run["accuracy"] < 1 for run in saved["runs"])
    assert "test accuracy (%), means over seeds" in capsys.readouterr().out


@pytest.mark.parametrize("kept", [0.0, 1.0])
def test_a_share_that_leaves_nothing_to_choose_is_refused(kept: float) -> None:
    with pytest.raises(InputError, match=f"kept: {kept} cannot work; allowed: between 0 and 1"):
        kept_sets.main(kept_sets.Arguments(data_root="none", kept=kept))
