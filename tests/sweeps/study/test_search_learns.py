"""The default search on simulated learning curves: it finds a known optimum in its budget, and beats random search.

Sampler, searcher, early stopping and the space are the project's own; only the training is simulated, by the clock of
two workers of different speeds.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from ray.tune.search import Searcher

from bdw.evaluation import measure
from sweeps.runner.datasets import CHOICES
from sweeps.runner.episode_designs import Design
from sweeps.runner.search import best_trial, enqueue_cells
from sweeps.runner.space import PAPER, RECIPE, RECOMMENDED, Space
from sweeps.study.early_stopping import BudgetHalving
from sweeps.study.objective import SCORE, score_alone
from sweeps.study.open_study import open_study
from sweeps.study.searcher import StudySearcher

SEEDS = range(20)
CHOICE = CHOICES["digits"]
SPACE = Space((Design(10, 5, 5), Design(5, 5, 5), Design(5, 1, 5)), 4, CHOICE.recipes)
ACCURACY = measure("accuracy")
EPOCHS = 20
VALIDATION_IMAGES = 500
OPTIMUM = {"evidence": 4.0, "recommended_rho": 0.8, "recommended_lambda": 0.36, "target_margin": 0.12}
WIDTHS = {"evidence": math.log(10), "recommended_rho": 0.35, "recommended_lambda": 0.15, "target_margin": 0.15}
"""Width of each parameter's range; that of `evidence` is logarithmic."""


def quality(parameters: Mapping[str, Any]) -> float:
    """1 at the optimum, less by the squared distance from it as shares of the ranges; at most 0.7 with the paper's
    method, whose own optimum lies elsewhere."""
    if parameters[RECIPE] == PAPER:
        distance = (math.log(parameters["weight_lr"] / 10) / math.log(1000)) ** 2
        distance += ((parameters["density_threshold"] - 0.8) / 0.55) ** 2
        distance += ((parameters["cdf_threshold"] - 0.25) / 0.35) ** 2
        return 0.7 - distance - 0.1 * (parameters["meta_loss"] != "prototype")
    away = 0.05 * (parameters["target_batch"] != 16)
    for name, best in OPTIMUM.items():
        value = parameters[name]
        away += ((math.log(value / best) if name == "evidence" else value - best) / WIDTHS[name]) ** 2
    return 1 - away


@dataclass(frozen=True)
class Outcome:
    """What a simulated search came to."""

    best: float
    """Quality of its best trial."""
    epochs: int
    complete: int
    """Drawn trials, not published ones, that ended as such; likewise `pruned`."""
    pruned: int


class SimulatedTune:
    """Two workers, a trial each; learning curves that rise to a plateau, measured on so many validation images."""

    def __init__(self, seed: int, searcher: StudySearcher, halving: BudgetHalving | None) -> None:
        self.epochs = 0
        self._searcher, self._halving = searcher, halving
        self._draws = np.random.default_rng(seed)
        self._clock: list[tuple[float, int]] = []
        self._trials: list[dict[str, Any]] = []

    def run(self, *, at_most_epochs: float = math.inf) -> None:
        for _ in range(2):
            self._start(0.0)
        while self._clock:
            now, number = heapq.heappop(self._clock)
            trial = self._trials[number]
            row = self._train_an_epoch(trial)
            self.epochs += 1
            heard = "CONTINUE" if self._halving is None else self._halving.on_trial_result(None, trial["tune"], row)
            if heard == "STOP":
                self._searcher.on_trial_complete(str(number), row)
            else:
                self._searcher.on_trial_result(str(number), row)
                if row["budget_share"] < 1:
                    heapq.heappush(self._clock, (now + trial["pace"], number))
                    continue
                self._searcher.on_trial_complete(str(number), {**row, "ended": True})
            if self.epochs < at_most_epochs:
                self._start(now)

    def _start(self, now: float) -> None:
        number = len(self._trials)
        config = self._searcher.suggest(str(number))
        if config == Searcher.FINISHED:
            return
        assert isinstance(config, dict)
        trial = {"tune": SimpleNamespace(trial_id=str(number), config=config), "epoch": 0, "best": 0.0}
        trial |= {"pace": self._draws.uniform(0.8, 1.25), "quality": quality(config["plan"])}
        self._trials.append(trial)
        heapq.heappush(self._clock, (now + trial["pace"], number))

    def _train_an_epoch(self, trial: dict[str, Any]) -> dict[str, Any]:
        trial["epoch"] += 1
        share = trial["epoch"] / EPOCHS
        plateau = 0.2 + 0.3 * max(0.0, trial["quality"])
        true = 0.1 + plateau * (1 - math.exp(-4 * share)) / (1 - math.exp(-4))
        measured = round((true + self._draws.normal(0, 0.004)) * VALIDATION_IMAGES) / VALIDATION_IMAGES
        trial["best"] = max(trial["best"], measured)
        own = {"epoch": trial["epoch"], "budget_share": share, "instances_seen": trial["epoch"]}
        return {**own, SCORE: trial["best"]}


def search(seed: int, *, random_epochs: int | None = None) -> Outcome:
    """The default search; with `random_epochs` the published settings and then random ones, until so many are spent."""
    study = open_study(optuna.storages.InMemoryStorage(), "search", directions=["maximize"], experiment={}, seed=seed)
    samples = CHOICE.scale.samples
    if random_epochs is not None:
        study.sampler, samples = optuna.samplers.RandomSampler(seed=seed), random_epochs
    enqueue_cells(study, SPACE.recommended_points(), origin=RECOMMENDED, at_most=samples)
    enqueue_cells(study, SPACE.paper_cells(), origin=PAPER, at_most=samples)

    def propose(trial: optuna.Trial) -> dict[str, Any]:
        drawn = SPACE.draw(trial)
        return {"plan": drawn, "labels": {"run": repr(sorted(drawn.items())), "spared": "origin" in trial.user_attrs}}

    searcher = StudySearcher(study, propose, objective=score_alone(ACCURACY), num_new=samples)
    tune = SimulatedTune(seed, searcher, None if random_epochs else BudgetHalving(ACCURACY))
    tune.run(at_most_epochs=random_epochs or math.inf)
    best = best_trial(study)
    assert best is not None
    drawn = [trial.state for trial in study.get_trials(deepcopy=False) if "origin" not in trial.user_attrs]
    complete, pruned = (drawn.count(state) for state in (TrialState.COMPLETE, TrialState.PRUNED))
    assert complete + pruned == len(drawn)
    return Outcome(quality(best.params), tune.epochs, complete, pruned)


@pytest.fixture(scope="module")
def found() -> list[Outcome]:
    return [search(seed) for seed in SEEDS]


def test_the_default_search_finds_the_optimum_in_its_budget(found: list[Outcome]) -> None:
    published = max(quality(point) for point in (*SPACE.recommended_points(), *SPACE.paper_cells()))
    assert published < 0.8
    qualities = [outcome.best for outcome in found]
    assert sum(best > 0.85 for best in qualities) >= 18
    assert np.median(qualities) > 0.9
    assert all(outcome.epochs < EPOCHS * CHOICE.scale.samples for outcome in found)


def test_it_beats_random_search_that_trains_for_as_long(found: list[Outcome]) -> None:
    """15 of 20 is p = 0.021 of a one-sided sign test."""
    rivals = [search(seed, random_epochs=outcome.epochs) for seed, outcome in zip(SEEDS, found, strict=True)]
    assert all(rival.epochs >= outcome.epochs for rival, outcome in zip(rivals, found, strict=True))
    wins = sum(outcome.best > rival.best for outcome, rival in zip(found, rivals, strict=True))
    assert wins >= 15
    assert np.mean([1 - outcome.best for outcome in found]) < 0.6 * np.mean([1 - rival.best for rival in rivals])


def test_it_finishes_some_of_what_it_draws_and_stops_some(found: list[Outcome]) -> None:
    """Published settings, which no search may stop, used to fill the first rung, and nothing else was finished."""
    drawn = CHOICE.scale.samples - len(SPACE.paper_cells()) - len(SPACE.recommended_points())
    assert {outcome.complete + outcome.pruned for outcome in found} == {drawn}
    assert min(outcome.complete for outcome in found) >= 2
    # The better half goes on at each of the two rungs.
    assert np.mean([outcome.complete for outcome in found]) > drawn / 4
    assert min(outcome.pruned for outcome in found) >= 1
