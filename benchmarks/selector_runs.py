"""Runs of `benchmarks.selectors`: what the targets of a pool share, and one method on one target."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bdw.config import RunConfig, presets
from bdw.data import Problem
from bdw.data.readers.glyphs import REPORTED
from bdw.training.build import build_toolkit, load_problem
from bdw.training.trainer import Trainer
from bdw.weighting import selection
from bdw.weighting.selection.cost import Cost, Meter
from bdw.weighting.selection.protocol import Toolkit
from bdw.weighting.selection.vectors import pool_vectors
from benchmarks.harness import final_scores
from benchmarks.selector_costs import LEARNING, Charge, charge_of, images_that_taught, left_of

PLAIN, ORACLE, RECOMMENDED = "plain training", "oracle", "BDW, recommended"
FEATURES = "one pass, for features"
PIXELS, SERVER = "nearest-neighbour, pixels", "neural-data-server"
WEIGHTERS: Mapping[str, Mapping[str, Any]] = {
    PLAIN: {"weighter": "uniform"},
    RECOMMENDED: presets.weighting(presets.RECOMMENDED),
    ORACLE: {"weighter": "oracle"},
}
SELECTORS: Mapping[str, Mapping[str, Any]] = {
    "random": {},
    PIXELS: {"selector.features": "pixels"},
    "nearest-neighbour": {},
    "simcore": {},
    "prototypes, easy": {"selector.keep": "easy"},
    "prototypes, hard": {"selector.keep": "hard"},
    "hierarchical": {},
    SERVER: {},
}
"""Name, up to a comma the selector's -> options that differ from their defaults."""
WITHOUT_FEATURES = ("random", PIXELS)


@dataclass(frozen=True)
class Plan:
    """What a row depends on, beside its method, target and seed."""

    scripts: tuple[str, ...] = REPORTED
    """Targets."""
    share: float = 0.2
    """Of the pool that is chosen."""
    epochs: int = 4
    """The budget of every method as passes over the pool."""
    images: int = 8000
    """Of the pool."""
    read_cost: float = 1 / 3
    """Of an image that is only read or embedded, in images that are trained on."""
    experts: int = 10
    """Of Neural Data Server."""
    experts_share: float = 0.25
    """Of the budgets of all targets that its experts are trained for."""
    working_dir: Path = Path("build/selectors")
    """Where rows and what runs share are kept."""

    @property
    def budget(self) -> int:
        """Images of each method on each target."""
        return self.epochs * self.images

    @property
    def expert_images(self) -> int:
        """Images that each expert is trained on."""
        return int(self.experts_share * self.budget * len(self.scripts) / self.experts)


def target_of(script: str) -> str:
    """Its name in a config, and the domain of its rows."""
    return f"glyphs-{script}"


def shared_parts(plan: Plan, seed: int, *, experts: bool) -> dict[str, Any]:
    """Train the encoder that compares images, embed the pool and train experts, for all targets of a seed; a row that
    says what the first two took."""
    place = _first(plan, seed)
    shutil.rmtree(place, ignore_errors=True)  # of a run that was cut off
    trainer = Trainer(_config(plan, plan.scripts[0], seed, place, {"weighter": "uniform", "epochs": 1}))
    for _ in trainer.epochs():
        pass
    toolkit = dataclasses.replace(_toolkit(trainer.config, trainer.problem, place), meter=Meter())
    pool_vectors(trainer.problem, f"run:{place}", toolkit)
    last, cost = trainer.history[-1], toolkit.meter.cost()
    if experts:
        fields = _fields(plan, seed, SERVER)
        selection.select(trainer.config.replace(**fields).selector, trainer.problem, toolkit)
    of_one = last.wall_seconds / last.instances_seen
    return {
        "method": FEATURES,
        "domain": FEATURES,
        "seed": seed,
        "value": round(final_scores(place)["accuracy"], 4),
        "instances_seen": last.instances_seen,
        "seconds": round(last.wall_seconds, 2),
        "read_cost_measured": round(cost.shared_seconds / cost.shared_images / of_one, 4),
    }


def one_run(plan: Plan, seed: int, script: str, method: str, first_seconds: float) -> dict[str, Any]:
    """Choose, train on the choice with what the choice leaves of the budget, and say how good it is and what it cost.

    `first_seconds`: of the run whose encoder compares images.
    """
    with tempfile.TemporaryDirectory(dir=plan.working_dir / "runs") as folder:
        place = Path(folder).absolute() / "run"
        config = _config(plan, script, seed, place, _fields(plan, seed, method))
        problem = load_problem(config, place, None)
        cost, charge = _of_choice(plan, config, problem, place, method)
        recipe = method == RECOMMENDED
        # The recipe pays while it learns: by its config in that share of what it trains on.
        share = config.weighter.learn_share if recipe else 0.0
        paid = charge.of_each(len(plan.scripts))
        left = left_of(plan.budget, paid, method, config.optimiser.batch_size) / (1 + LEARNING * share)
        trainer = Trainer(config.replace(budget_images=round(left)), problem=problem)
        for _ in trainer.epochs():
            pass
        accuracy = final_scores(place)["accuracy"]
    if recipe:
        charge = Charge(own=LEARNING * images_that_taught(trainer.history))
    last = trainer.history[-1]
    planted, kept = problem.source.planted, trainer.mask.kept.numpy()
    assert planted is not None
    shared_seconds = cost.shared_seconds + (first_seconds if _has_features(method) else 0.0)
    return {
        "method": method,
        "domain": target_of(script),
        "seed": seed,
        "metric": "accuracy",
        "higher_is_better": True,
        "value": round(accuracy, 4),
        "letters": round(float((planted[kept] == 1).mean()), 4),
        "kept": round(float(kept.mean()), 4),
        "charged": round(charge.of_each(len(plan.scripts)) / plan.budget, 4),
        "charged_alone": round(charge.alone / plan.budget, 4),
        "instances_seen": last.instances_seen,
        "training_seconds": round(last.wall_seconds, 2),
        "selection_seconds": round(cost.seconds, 3),
        "shared_seconds": round(shared_seconds, 2),
        "seconds": round(last.wall_seconds + cost.seconds + shared_seconds / len(plan.scripts), 2),
    }


def _of_choice(plan: Plan, config: RunConfig, problem: Problem, place: Path, method: str) -> tuple[Cost, Charge]:
    """What the method's choice costs: the run makes the same again, of what is in the cache by then."""
    if method in WEIGHTERS:
        return Cost(seconds=0.0, images=0, shared_seconds=0.0, shared_images=0, trained_images=0), Charge()
    cost = selection.select(config.selector, problem, _toolkit(config, problem, place)).cost
    return cost, charge_of(cost, plan.images if _has_features(method) else 0, plan.read_cost)


def _has_features(method: str) -> bool:
    return method in SELECTORS and method not in WITHOUT_FEATURES


def _toolkit(config: RunConfig, problem: Problem, place: Path) -> Toolkit:
    return build_toolkit(config, problem, place, torch.device("cpu"), None)


def _first(plan: Plan, seed: int) -> Path:
    """The run whose encoder compares images."""
    return (plan.working_dir / f"first-{seed}").absolute()


def _config(plan: Plan, script: str, seed: int, place: Path, fields: Mapping[str, Any]) -> RunConfig:
    base: RunConfig = presets.glyphs().replace(
        source=f"glyphs:images={plan.images}", target=target_of(script), epochs=plan.epochs, seed=seed,
        data_seed=seed, run_dir=str(place), cache_dir=str((plan.working_dir / "packed").absolute()),
        report=False, device="cpu",
    )  # fmt: skip
    return base.replace(**{**presets.paper_weighting(), **fields})


def _fields(plan: Plan, seed: int, method: str) -> dict[str, Any]:
    """How a method's config differs from the paper's weighting."""
    if method in WEIGHTERS:
        return dict(WEIGHTERS[method])
    selector = method.partition(",")[0]
    own: dict[str, Any] = {"selector.features": f"run:{_first(plan, seed)}"} if _has_features(method) else {}
    if selector == SERVER:
        own |= {"selector.experts": plan.experts, "selector.expert_images": plan.expert_images}
    return {
        "weighter": "uniform", "selector": selector, "selected_share": plan.share, **own, **SELECTORS[method]
    }  # fmt: skip
