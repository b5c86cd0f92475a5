"""The search space: eta, rho, lambda, the meta-loss, the meta-batch's design and two ways to learn weights at less
cost.

These are parameters of the paper's method, whose eight cells come first. The recommended recipe is searched, too, where
the data choice names it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna

from bdw.config import presets
from sweeps.runner.episode_designs import Design

META_LOSSES = ("prototype", "pretext", "prototype+0.5*pretext")
ETA, RHO, LAMBDA = "weight_lr", "density_threshold", "cdf_threshold"
INTERVAL, VIEWS = "meta_every", "tangent_views"
INTERVALS = (1, 2, 4)
RECIPE, PAPER, RECOMMENDED = "recipe", "paper", "recommended"
FIELD_OF = {
    "evidence": ETA,
    "recommended_rho": RHO,
    "recommended_lambda": LAMBDA,
    "target_margin": "target_margin",
    "target_batch": "target_batch",
}
"""Parameter of the recommended recipe -> field. Its eta (what a verdict counts), rho and lambda have ranges of their
own, and so names of their own."""
TARGET_BATCHES = (8, 16, 32)


@dataclass(frozen=True)
class Space:
    """The searched parameters; names are those of the config's fields, and `design` for ways, shots and queries."""

    designs: tuple[Design, ...]
    """The first one is the paper's, cut down to fit the target if need be."""
    num_views: int
    """Views that the pretext task makes of an image; the tangent pass may see fewer."""
    recipes: tuple[str, ...] = (PAPER,)
    """`PAPER`, or that and `RECOMMENDED`."""

    def draw(self, trial: optuna.Trial) -> dict[str, Any]:
        """One point of the space."""
        if len(self.recipes) == 1:
            return self._draw_paper(trial)
        recipe = trial.suggest_categorical(RECIPE, self.recipes)
        return {RECIPE: recipe, **(_draw_recommended(trial) if recipe == RECOMMENDED else self._draw_paper(trial))}

    def _draw_paper(self, trial: optuna.Trial) -> dict[str, Any]:
        drawn: dict[str, Any] = {
            ETA: trial.suggest_float(ETA, 0.1, 100, log=True),
            # rho is never below lambda: there the uniform prior alone would have every image pruned.
            RHO: trial.suggest_float(RHO, 0.4, 0.95),
            LAMBDA: trial.suggest_float(LAMBDA, 0.05, 0.4),
            "meta_loss": trial.suggest_categorical("meta_loss", META_LOSSES),
        }
        if "prototype" in drawn["meta_loss"]:  # The pretext meta-loss draws no episodes.
            drawn["design"] = trial.suggest_categorical("design", [str(design) for design in self.designs])
        drawn[INTERVAL] = trial.suggest_categorical(INTERVAL, INTERVALS)
        if self.num_views > 1:
            drawn[VIEWS] = trial.suggest_int(VIEWS, 1, self.num_views)
        return drawn

    def paper_cells(self) -> list[dict[str, Any]]:
        """Table 3: eta in {10, 1} x rho in {0.5, 0.9} x lambda in {0.1, 0.25}."""
        return self.cells(itertools.product((10.0, 1.0), (0.5, 0.9), (0.1, 0.25)))

    def cells(self, points: Iterable[tuple[float, float, float]]) -> list[dict[str, Any]]:
        """Points of the space with these (eta, rho, lambda) and all else as in the paper."""
        fixed: dict[str, Any] = {RECIPE: PAPER} if len(self.recipes) > 1 else {}
        fixed |= {"meta_loss": "prototype", "design": str(self.designs[0]), INTERVAL: 1}
        if self.num_views > 1:
            fixed[VIEWS] = self.num_views
        return [{ETA: eta, RHO: rho, LAMBDA: cdf_threshold, **fixed} for eta, rho, cdf_threshold in points]

    def recommended_points(self) -> list[dict[str, Any]]:
        """The recommended recipe as it is published, where it is searched."""
        if RECOMMENDED not in self.recipes:
            return []
        own = {parameter: presets.RECOMMENDED[field] for parameter, field in FIELD_OF.items()}
        return [{RECIPE: RECOMMENDED, **own}]


def _draw_recommended(trial: optuna.Trial) -> dict[str, Any]:
    return {
        "evidence": trial.suggest_float("evidence", 1, 10, log=True),
        "recommended_rho": trial.suggest_float("recommended_rho", 0.6, 0.95),
        "recommended_lambda": trial.suggest_float("recommended_lambda", 0.3, 0.45),
        "target_margin": trial.suggest_float("target_margin", 0.05, 0.2),
        "target_batch": trial.suggest_categorical("target_batch", TARGET_BATCHES),
    }


def fields_of(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A point of the space as fields of a `RunConfig`."""
    if parameters.get(RECIPE) == RECOMMENDED:
        own = {FIELD_OF[name]: value for name, value in parameters.items() if name != RECIPE}
        return presets.weighting(presets.RECOMMENDED) | own
    parameters = {name: value for name, value in parameters.items() if name != RECIPE}
    fields = {key: value for key, value in parameters.items() if key != "design"}
    if "design" in parameters:
        fields |= Design.parse(parameters["design"]).fields
    return fields


def describe(parameters: Mapping[str, Any]) -> str:
    """A short line with the paper's letters."""
    if parameters.get(RECIPE) == RECOMMENDED:
        return (
            f"recommended evidence {parameters['evidence']:.3g} rho {parameters['recommended_rho']:.2g} lambda "
            f"{parameters['recommended_lambda']:.2g} margin {parameters['target_margin']:.2g} batch "
            f"{parameters['target_batch']}"
        )
    words: Sequence[str] = (
        f"eta {parameters[ETA]:.3g}",
        f"rho {parameters[RHO]:.2g}",
        f"lambda {parameters[LAMBDA]:.2g}",
        str(parameters["meta_loss"]),
        str(parameters.get("design", "")),
        f"every {parameters[INTERVAL]} steps" if parameters.get(INTERVAL, 1) > 1 else "",
        f"{parameters[VIEWS]} view(s)" if VIEWS in parameters else "",
    )
    return " ".join(word for word in words if word)
