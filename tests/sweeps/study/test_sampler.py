"""What is proposed depends on the study and the seed, however often the driver was killed."""

from __future__ import annotations

import math
import operator
import random
import statistics
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from sweeps.runner.episode_designs import Design
from sweeps.runner.space import PAPER, RECIPE, RECOMMENDED, Space
from sweeps.study.open_study import open_storage, open_study, requeue_unfinished
from sweeps.study.sampler import RepeatableTPE

NUM_TRIALS = 30
"""Ten of which TPE draws at random."""


def reopened(folder: Path, seed: int = 7) -> optuna.Study:
    return open_study(open_storage(folder / "journal"), "s", directions=["maximize"], experiment={}, seed=seed)


def drawn(trial: optuna.Trial, *, at_most: int = 3) -> dict[str, Any]:
    """So many of the parameters, the third one in half of the cases only."""
    trial.suggest_float("x", 0.1, 100, log=True)
    if at_most > 1:
        kind = trial.suggest_categorical("kind", ["a", "b"])
        if kind == "a" and at_most > 2:
            trial.suggest_int("n", 1, 9)
    return trial.params


def value(params: dict[str, Any]) -> float:
    return -((params["x"] - 3) ** 2) + params.get("n", 5)


def search(folder: Path, kills: random.Random | None, seed: int = 7) -> list[tuple[dict[str, Any], float]]:
    """One trial after the other; with `kills` the driver dies in half of them, with all or some parameters drawn."""
    folder.mkdir()
    study = reopened(folder, seed)
    study.enqueue_trial({"x": 5.0})
    while True:
        complete = study.get_trials(states=(TrialState.COMPLETE,))
        if len(complete) == NUM_TRIALS:
            return [(trial.params, trial.values[0]) for trial in complete]
        trial = study.ask()
        if kills is not None and kills.random() < 0.5:
            drawn(trial, at_most=kills.randint(1, 3))
            study = reopened(folder, seed)
            requeue_unfinished(study)
            continue
        study.tell(trial, value(drawn(trial)))


@pytest.mark.parametrize("seed", range(3))
def test_kills_change_no_proposal(tmp_path: Path, seed: int) -> None:
    peace = search(tmp_path / "peace", None)
    assert search(tmp_path / "kills", random.Random(seed)) == peace
    assert len({params["x"] for params, _ in peace}) == NUM_TRIALS


def test_another_seed_proposes_something_else(tmp_path: Path) -> None:
    one, other = search(tmp_path / "one", None), search(tmp_path / "other", None, seed=8)
    assert one[0][0]["x"] == other[0][0]["x"] == 5.0
    assert not {params["x"] for params, _ in one[1:]} & {params["x"] for params, _ in other[1:]}


def test_it_learns_from_what_it_was_told(tmp_path: Path) -> None:
    values = [found for _, found in search(tmp_path / "search", None)]
    # Ten are drawn at random; the best there is, is 9.
    assert statistics.median(values[-10:]) > max(4, statistics.median(values[:10]))


SPACE = Space((Design(10, 2, 3), Design(10, 1, 2)), num_views=4, recipes=(PAPER, RECOMMENDED))


def made_up_score(point: dict[str, Any]) -> float:
    """At most 0.8: at evidence 6, rho 0.7, lambda 0.34, margin 0.16 and batches of 32; the paper's reach 0.6."""
    if point[RECIPE] == PAPER:
        return 0.6 - 0.05 * abs(math.log10(point["weight_lr"] / 10)) - 0.2 * abs(point["density_threshold"] - 0.7)
    return (
        0.8
        - 0.2 * math.log(point["evidence"] / 6) ** 2
        - 4 * (point["recommended_rho"] - 0.7) ** 2
        - 8 * (point["recommended_lambda"] - 0.34) ** 2
        - 10 * (point["target_margin"] - 0.16) ** 2
        - 0.03 * (point["target_batch"] != 32)
    )


def best_found(sampler: optuna.samplers.BaseSampler, num_drawn: int = 20) -> float:
    """Of the published settings and so many proposals."""
    study = optuna.create_study(direction="maximize", sampler=sampler)
    published = [*SPACE.recommended_points(), *SPACE.paper_cells()]
    for point in published:
        study.enqueue_trial(point)
    for _ in range(len(published) + num_drawn):
        trial = study.ask()
        study.tell(trial, made_up_score(SPACE.draw(trial)))
    return study.best_value


def test_a_search_of_both_recipes_finds_better_settings_than_chance() -> None:
    seeds = range(20)
    proposed = [best_found(RepeatableTPE(seed)) for seed in seeds]
    by_chance = [best_found(optuna.samplers.RandomSampler(seed=seed)) for seed in seeds]
    assert statistics.fmean(proposed) > statistics.fmean(by_chance)
    assert sum(map(operator.gt, proposed, by_chance)) >= 15, "by chance alone once in fifty times"
