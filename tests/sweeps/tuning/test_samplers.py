"""Samplers by name: each draws the same after a kill, learns where it should, and refuses parameters it lacks."""

from __future__ import annotations

import statistics
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from bdw.errors import InputError
from sweeps.study.open_study import open_storage
from sweeps.tuning.goals import MEAN_RANK
from sweeps.tuning.ranks import RankedStudies, mean_ranks
from sweeps.tuning.samplers import NSGA2, TPE, Grid, Random, make_sampler, parse_sampler

NUM_TRIALS = 24


def study_of(folder: Path, sampler: str, directions: list[str]) -> optuna.Study:
    """The study as a new process would open it."""
    found = optuna.create_study(
        storage=open_storage(folder / "journal"), study_name="s", directions=directions, load_if_exists=True
    )
    found.sampler = make_sampler(parse_sampler(sampler), seed=3, num_trials=NUM_TRIALS, ranked=None)
    return found


def values(x: float, y: float) -> list[float]:
    """The front is the line x = y = t for t in [0, 1]: both squared distances, to (0, 0) and to (1, 1)."""
    return [x**2 + y**2, (x - 1) ** 2 + (y - 1) ** 2]


def search(folder: Path, sampler: str, *, reopened: bool) -> list[tuple[float, float]]:
    folder.mkdir()
    study = study_of(folder, sampler, ["minimize", "minimize"])
    for _ in range(NUM_TRIALS):
        if reopened:
            study = study_of(folder, sampler, ["minimize", "minimize"])
        trial = study.ask()
        study.tell(trial, values(trial.suggest_float("x", -1, 2), trial.suggest_float("y", -1, 2)))
    return [(trial.params["x"], trial.params["y"]) for trial in study.trials]


@pytest.mark.parametrize("sampler", ["tpe", "nsga2:population_size=8", "random"])
def test_a_driver_that_starts_again_draws_what_it_would_have_drawn(tmp_path: Path, sampler: str) -> None:
    points = search(tmp_path / "one", sampler, reopened=False)
    assert search(tmp_path / "two", sampler, reopened=True) == points
    assert len(set(points)) > NUM_TRIALS / 2


@pytest.mark.parametrize(("sampler", "num_trials"), [("tpe", 60), ("nsga2:population_size=10", 160)])
def test_two_objectives_are_learnt(sampler: str, num_trials: int) -> None:
    """The last trials lie closer to the front than the first, which random draws do not."""
    study = optuna.create_study(directions=["minimize", "minimize"])
    study.sampler = make_sampler(parse_sampler(sampler), seed=3, num_trials=num_trials, ranked=None)
    off = []
    for _ in range(num_trials):
        trial = study.ask()
        x, y = trial.suggest_float("x", -1, 2), trial.suggest_float("y", -1, 2)
        study.tell(trial, values(x, y))
        off.append(abs(x - y) + max(0, -x, -y, x - 1, y - 1))
    quarter = num_trials // 4
    assert statistics.fmean(off[-quarter:]) < 0.75 * statistics.fmean(off[:quarter])


def test_parameters() -> None:
    assert parse_sampler("tpe:n_startup_trials=5,n_ei_candidates=50") == TPE(n_startup_trials=5, n_ei_candidates=50)
    assert parse_sampler("nsga2:mutation_prob=0.2,population_size=9") == NSGA2(mutation_prob=0.2, population_size=9)
    assert (parse_sampler("random"), parse_sampler("grid")) == (Random(), Grid())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tpa", r"sampler: 'tpa' is not known \(did you mean 'tpe'\?\); allowed: grid, nsga2, random, tpe"),
        ("tpe:n_startup=5", r"'n_startup' is not known \(did you mean 'n_startup_trials'\?\)"),
        ("tpe:n_startup_trials=0", "n_startup_trials: 0 cannot work; allowed: at least 1"),
        ("tpe:n_startup_trials=x", "n_startup_trials: 'x' is of type str; allowed: int"),
        ("tpe:n_startup_trials", "allowed: tpe:n_startup_trials=VALUE"),
        ("nsga2:mutation_prob=2", "mutation_prob: 2.0 cannot work; allowed: 0 to 1"),
        ("random:seed=1", "'seed' is not known; 'random' has no parameters"),
    ],
)
def test_what_cannot_work_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_sampler(text)


def test_ranks_change_too_often_for_parents() -> None:
    with pytest.raises(InputError, match="'nsga2' cannot work with mean_rank"):
        parse_sampler("nsga2", over=MEAN_RANK)


X = FloatDistribution(0, 10)


def trial_of(x: float, *scores: float) -> optuna.trial.FrozenTrial:
    mean = statistics.fmean(scores)
    attributes = {"run_scores": list(scores)}
    return create_trial(values=[mean], params={"x": x}, distributions={"x": X}, user_attrs=attributes)


def test_mean_ranks_by_hand() -> None:
    """Ranks on the first run: 1, 2, 3; on the second: 2.5, 2.5, 1."""
    trials = [trial_of(0, 0.9, 0.5), trial_of(1, 0.8, 0.5), trial_of(2, 0.1, 0.6)]
    assert mean_ranks(trials, higher_is_better=True) == [1.75, 2.25, 2.0]
    assert mean_ranks(trials, higher_is_better=False) == [2.25, 1.75, 2.0]
    assert mean_ranks([], higher_is_better=True) == []


def test_tpe_learns_from_ranks_not_from_means() -> None:
    """On one run of three scores are a thousand times larger, and best at x = 9; on the two others best at x = 2."""

    def scores(x: float) -> tuple[float, ...]:
        return -abs(x - 2), -abs(x - 2) / 2, -1000 * abs(x - 9)

    def last_draws(ranked: RankedStudies | None) -> float:
        study = optuna.create_study(
            direction="maximize", sampler=make_sampler(TPE(), seed=0, num_trials=60, ranked=ranked)
        )
        for _ in range(60):
            trial = study.ask()
            found = scores(trial.suggest_float("x", 0, 10))
            trial.set_user_attr("run_scores", list(found))
            study.tell(trial, statistics.fmean(found))
        return statistics.median(trial.params["x"] for trial in study.trials[-20:])

    assert last_draws(None) > 8
    assert last_draws(RankedStudies(higher_is_better=True, position=0)) < 4


def test_ranked_studies_show_trials_that_run_now() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    for x, score in ((1.0, 0.5), (2.0, 0.7)):
        attributes = {"run_scores": [score]}
        study.add_trial(
            create_trial(values=[score, 9.0], params={"x": x}, distributions={"x": X}, user_attrs=attributes)
        )
    study.ask().suggest_float("x", 0, 10)
    shown = RankedStudies(higher_is_better=True, position=0).of(study)
    assert [d.name for d in shown.directions] == ["MINIMIZE", "MINIMIZE"]
    assert [trial.values for trial in shown.trials[:2]] == [[2.0, 9.0], [1.0, 9.0]]
    assert shown.trials[2].state == TrialState.RUNNING
    assert shown.trials[2].params == study.trials[2].params
