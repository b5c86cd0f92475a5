"""What is searched: eta, rho, lambda, the meta-loss, the meta-batch's design and what learning the weights may save.

The paper's eight cells come first.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna

from sweeps.designs import Design

META_LOSSES = ("prototype", "pretext", "prototype+0.5*pretext")
ETA, RHO, LAMBDA = "weight_lr", "density_threshold", "cdf_threshold"
INTERVAL, VIEWS = "meta_every", "tangent_views"
INTERVALS = (1, 2, 4)


@dataclass(frozen=True)
class Space:
    """The searched parameters; names are those of the config's fields, and `design` for ways, shots and queries."""

    designs: tuple[Design, ...]
    """The first one is the paper's, or as much of it as the target has room for."""
    num_views: int
    """Views that the pretext task makes of an image; the tangent pass may see fewer."""

    def draw(self, trial: optuna.Trial) -> dict[str, Any]:
        """One point of the space."""
        drawn: dict[str, Any] = {
            ETA: trial.suggest_float(ETA, 0.1, 100, log=True),
            # rho never below lambda, where the uniform prior alone would have every image pruned.
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
        fixed = {"meta_loss": "prototype", "design": str(self.designs[0]), INTERVAL: 1}
        if self.num_views > 1:
            fixed[VIEWS] = self.num_views
        return [{ETA: eta, RHO: rho, LAMBDA: cdf_threshold, **fixed} for eta, rho, cdf_threshold in points]


def fields_of(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A point of the space as fields of a `RunConfig`."""
    fields = {key: value for key, value in parameters.items() if key != "design"}
    if "design" in parameters:
        fields |= Design.parse(parameters["design"]).fields
    return fields


def describe(parameters: Mapping[str, Any]) -> str:
    """A short line with the paper's letters."""
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
