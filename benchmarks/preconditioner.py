"""What a constant preconditioner does to the meta-gradient of AdamW: `python -m benchmarks.preconditioner --save`.

The update is element by element, so that its exact derivative with respect to the gradient is a factor of each
parameter, too, with a second term for the mean square that holds the gradient. Both factors are applied to the same
target gradient at the same moments of training on digits, so that nothing but the approximation differs: cosine between
the two dL_meta/dw of the batch's images, and the ratio of their norms.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from torch import Tensor

from bdw.config import RunConfig
from bdw.data import load
from bdw.training.trainer import Trainer
from bdw.weighting.gradient.estimators import ForwardMode
from bdw.weighting.gradient.target_gradient import Direction
from bdw.weighting.gradient.update_derivative import before_optimiser
from bdw.weighting.step import SourceBatch, weighted_update
from benchmarks.harness import provenance, write_result


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    steps: tuple[int, ...] = (1, 3, 10, 30, 100, 300)
    """Steps of training whose meta-gradients are compared."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Runs; figures are medians over them."""
    learning_rate: float = 1e-3
    """alpha."""
    save: bool = False
    """Keep the result in benchmarks/results."""


def exact_factors(
    optimiser: torch.optim.AdamW, parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """-(1 / alpha) dtheta'/dg of each parameter, in float64, after the step that AdamW made with these gradients.

    With m the mean gradient, s the mean square, c1 and c2 their corrections and r = sqrt(s / c2):
    (1 - beta1) / (c1 (r + eps)) - (m / c1) (1 - beta2) g / (c2 r (r + eps)^2).
    """
    (group,) = optimiser.param_groups
    (beta1, beta2), eps = group["betas"], group["eps"]
    found = {}
    for name, gradient in gradients.items():
        state = optimiser.state[parameters[name]]
        step, g = float(state["step"]), gradient.double()
        c1, c2 = 1 - beta1**step, 1 - beta2**step
        mean, root = state["exp_avg"].double(), (state["exp_avg_sq"].double() / c2).sqrt()
        second = mean / c1 * (1 - beta2) * g / (c2 * root * (root + eps).square())
        # A gradient that was always 0 has no second term.
        found[name] = (1 - beta1) / (c1 * (root + eps)) - second.nan_to_num(0.0)
    return found


def main(arguments: Arguments) -> None:
    """Print cosine and ratio of norms at every step, and keep them if asked to."""
    torch.set_num_threads(1)
    found: dict[int, list[tuple[float, float]]] = {step: [] for step in arguments.steps}
    with tempfile.TemporaryDirectory() as folder:
        for seed in arguments.seeds:
            config = RunConfig().replace(
                device="cpu", report=False, seed=seed, run_dir=f"{folder}/{seed}", meta_loss="pretext",
                optimiser="adamw", learning_rate=arguments.learning_rate,
            )  # fmt: skip
            trainer = Trainer(config, problem=load(config.data, Path(folder)))
            for step in range(1, max(arguments.steps) + 1):
                compared = _step(trainer, compares=step in found)
                if compared is not None:
                    found[step].append(compared)
    rows: list[dict[str, Any]] = []
    print(f"{'step':>6} {'cosine':>7} {'(least)':>8} {'norms':>6}")
    for step, pairs in found.items():
        cosines, ratios = zip(*pairs, strict=True)
        row = {"step": step, "cosine": statistics.median(cosines), "least": min(cosines)}
        row["norms"] = statistics.median(ratios)
        rows.append(row)
        print(f"{step:6} {row['cosine']:7.3f} {row['least']:8.3f} {row['norms']:6.2f}", flush=True)
    if arguments.save:
        contents = {**provenance(arguments.seeds[0]), "arguments": vars(arguments), "rows": rows}
        write_result("preconditioner-cpu", contents)


def _step(trainer: Trainer, *, compares: bool) -> tuple[float, float] | None:
    """One step on a random batch; cosine of approximate and exact gradient and the ratio of their norms."""
    learner, config = trainer.learner, trainer.config
    indices = torch.randperm(len(trainer.images), generator=learner.randomness["order"])[: config.optimiser.batch_size]
    batch = SourceBatch(indices, trainer.images[indices], len(indices))
    model, alignment = learner.model.train(), learner.alignment
    assert alignment is not None
    views = model.task.views(batch.images, learner.crop, learner.randomness["views"])
    weights = learner.weighter.sample(indices, learner.randomness["weights"]).weights.detach()
    before = {name: value.detach().clone() for name, value in learner.parameters.items()}
    gradients: dict[str, Tensor] = {}

    def note(*_: Any) -> None:
        gradients.update({n: p.grad.clone() for n, p in learner.parameters.items() if p.grad is not None})

    hook = learner.optimiser.register_step_pre_hook(note)
    weighted_update(learner, views, weights, len(indices))
    hook.remove()
    if not compares:
        return None
    assert isinstance(learner.optimiser, torch.optim.AdamW)
    v, _ = alignment.ask_target(learner.randomness)
    factors = exact_factors(learner.optimiser, learner.parameters, gradients)

    def told(direction: Direction) -> Tensor:
        single = {name: value.to(before[name]) for name, value in direction.items()}
        return ForwardMode(model).derivatives(views, weights, len(indices), before, single).double()

    constant = told(before_optimiser(v, learner.parameters, learner.optimiser))
    exact = told({name: value * factors[name] for name, value in v.items()})
    return float(torch.cosine_similarity(constant, exact, dim=0)), float(constant.norm() / exact.norm())


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
