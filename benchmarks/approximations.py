"""What every approximate option does to the meta-gradient: `python -m benchmarks.approximations --save`.

At some moments of training on digits, one source batch and the weights drawn for it are held fixed. The exact gradient
is dL_meta/dw of these images with the mean target gradient over many target batches: the gradient of a step that saw
the whole target. A step sees one target batch, and less with an option. Over many draws of it the table shows

bias       norm of the mean error over the exact norm; `resolved`: what an unbiased option would show by chance
deviation  root of the mean squared distance from the mean, over the exact norm
cosine     with the exact gradient, mean over draws
time       of a step over that of a step without the option, side by side; several steps where not all learn

"Mean direction" in an option's name: its steps get the exact target gradient, so that the option's own bias shows,
which the noise of target batches would hide. Before every moment there are as many steps as a running mean of target
gradients remembers. Options that change the quantity itself (`relative_derivatives`, `centred_derivatives`, other
episodes) are biased by intention; the cosine says how far they turn the gradient. Steps without learning (`meta_every`)
have the gradient 0, and the gradient of the others is multiplied by `meta_every`, as if the weights' learning rate
were.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from torch import Tensor

from bdw.config import RunConfig
from bdw.data import load
from bdw.data.augment import random_crop_flip
from bdw.errors import InputError
from bdw.training.trainer import Trainer
from bdw.weighting.gradient.estimators import ForwardMode
from bdw.weighting.gradient.forward_mode import weight_gradient
from bdw.weighting.gradient.target_gradient import Direction, TargetGradient
from bdw.weighting.step import Learner, SourceBatch, train_step, weighted_update
from benchmarks.harness import interleaved_seconds, provenance, ratio, write_result
from benchmarks.peer_problem import Given
from benchmarks.peers import difference

EXACT = "exact"
ALONE = ", mean direction"
REMEMBERED = 20
"""Directions before a moment's own that a running mean takes in."""
OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "prototype": {
        "2 shots, 2 queries": {"shots": 2, "queries": 2},
        "1 shot, 1 query": {"shots": 1, "queries": 1},
        "5 of 10 ways": {"ways": 5},
    },
    "pretext": {
        "target_batch 16": {"target_batch": 16},
        "target_batch 256": {"target_batch": 256},
        "direction_parameters head": {"direction_parameters": "head"},
    },
}
"""By meta-loss; fields of the config."""
FOR_ALL: dict[str, dict[str, Any]] = {
    EXACT: {},
    "tangent_views 1 of 4": {"tangent_views": 1},
    "tangent_views 2 of 4": {"tangent_views": 2},
    "direction_momentum 0.9": {"direction_momentum": 0.9},
    "direction_every 2": {"direction_every": 2},
    "direction_every 4": {"direction_every": 4},
    "direction_every 4, momentum 0.9": {"direction_every": 4, "direction_momentum": 0.9},
    "relative_derivatives": {"relative_derivatives": True},
    "centred_derivatives": {"centred_derivatives": True},
    "precision bfloat16": {"precision": "bfloat16"},
    "meta_every 2": {"meta_every": 2},
    "meta_every 4": {"meta_every": 4},
}


LONGEST = max(fields.get("direction_every", 1) for fields in FOR_ALL.values())
"""Steps of learning that a direction lasts for, at most."""


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    moments: tuple[int, ...] = (0, 1, 5)
    """Epochs after which to look."""
    draws: int = 100
    """Steps of every option at every moment."""
    target_batches: int = 200
    """Number of target batches whose mean gradient counts as exact."""
    rounds: int = 40
    """How often every option's step is timed; they take turns."""
    seed: int = 0
    """Seed of training and of all draws."""
    save: bool = False
    """Keep the result in benchmarks/results."""

    def __post_init__(self) -> None:
        if not self.moments or list(self.moments) != sorted(set(self.moments)) or self.moments[0] < 0:
            raise InputError(f"moments: {self.moments} cannot work; allowed: rising epochs from 0")
        for name in ("draws", "target_batches", "rounds"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} cannot work; allowed: at least 1")


@dataclass(frozen=True)
class Moment:
    """Where a step starts, and the steps before it."""

    model: dict[str, Tensor]
    optimiser: dict[str, Any]
    earlier: list[dict[str, Tensor]]
    """The model at the last steps before, oldest first."""
    batch: SourceBatch
    weights: Tensor
    """(n,) float64, of all source images."""

    def restore(self, learner: Learner) -> None:
        """Let the learner stand at this moment."""
        learner.model.load_state_dict(self.model)
        learner.optimiser.load_state_dict(copy.deepcopy(self.optimiser))


def main(arguments: Arguments) -> None:
    """Print a table for every meta-loss and moment, and keep them if asked to."""
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        common = {"device": "cpu", "report": False, "prune": False, "seed": arguments.seed}
        base = RunConfig().replace(**{**common, "epochs": max(1, *arguments.moments)})
        problem = load(base.data, Path(folder))
        numbers = itertools.count()

        def trainer(**fields: Any) -> Trainer:
            return Trainer(base.replace(**fields, run_dir=f"{folder}/{next(numbers)}"), problem=problem)

        for meta_loss, own in OPTIONS.items():
            options = {**FOR_ALL, **own}
            learners = {name: trainer(meta_loss=meta_loss, **fields).learner for name, fields in options.items()}
            every = {name: fields.get("meta_every", 1) for name, fields in options.items()}
            in_turn = {name: every[name] * fields.get("direction_every", 1) for name, fields in options.items()}
            times: dict[str, float] = {}
            for epoch, moment in _moments(
                trainer(meta_loss=meta_loss), arguments.moments, trainer(meta_loss=meta_loss)
            ):
                if not times:
                    times = _times(learners, every, in_turn, moment, arguments.rounds)
                exact, direction = expected(learners[EXACT], moment, arguments.target_batches)
                print(f"\n{meta_loss}, after {epoch} epochs and {REMEMBERED * LONGEST} steps")
                print(f"{'option':36} {'bias':>6} {'resolved':>8} {'deviation':>9} {'cosine':>7} {'time':>5}")
                # These beside the mean direction, too: the noise of target batches hides what they alone do.
                alone = {
                    name + ALONE: compared_with(learner, direction)
                    for name, learner in learners.items()
                    if name.startswith(("tangent_views", "precision"))
                }
                for name, learner in {**learners, **alone}.items():
                    gradients = drawn_gradients(learner, moment, arguments.draws, every.get(name, 1))
                    batches = math.inf if name in alone else arguments.target_batches
                    found = effect(gradients, exact, batches)
                    time = times[name.removesuffix(ALONE)]
                    rows.append({"meta_loss": meta_loss, "epoch": epoch, "option": name, **found, "time": time})
                    print(
                        f"{name:36} {found['bias']:6.2f} {found['resolved']:8.2f} {found['deviation']:9.2f} "
                        f"{found['cosine']:7.3f} {time:5.2f}",
                        flush=True,
                    )
    if arguments.save:
        contents = {**provenance(arguments.seed), "arguments": vars(arguments), "options": {**FOR_ALL, **OPTIONS}}
        write_result("approximations-cpu", {**contents, "rows": rows})


def _moments(trainer: Trainer, epochs: tuple[int, ...], walker: Trainer) -> Iterator[tuple[int, Moment]]:
    """(epoch, Moment) for each of these epochs of one run."""
    reports = trainer.epochs()
    for epoch in epochs:
        while len(trainer.history) < epoch:
            next(reports)
        yield epoch, moment_after(trainer, walker)


def on_crops(learner: Learner) -> Learner:
    """The learner for batches that hold crops already, so that all options see the same."""
    return dataclasses.replace(learner, augment=lambda images, _: images)


def compared_with(learner: Learner, direction: TargetGradient) -> Learner:
    """The learner with that target gradient."""
    assert learner.alignment is not None
    return dataclasses.replace(learner, alignment=dataclasses.replace(learner.alignment, target_gradient=direction))


def moment_after(trainer: Trainer, walker: Trainer) -> Moment:
    """The moment some plain steps after where the trainer stands; the walker makes them, and the trainer stays."""
    learner, weighter = on_crops(walker.learner), trainer.learner.weighter
    learner.model.load_state_dict(trainer.learner.model.state_dict())
    learner.optimiser.load_state_dict(copy.deepcopy(trainer.learner.optimiser.state_dict()))
    learner.model.train()
    generator = learner.randomness["order"]
    earlier = []

    def batch() -> SourceBatch:
        data, size = walker.config.data, walker.config.optimiser.batch_size
        indices = torch.randperm(len(walker.images), generator=generator)[:size]
        images = random_crop_flip(walker.images[indices], data.crop_size, data.crop_padding, data.flip, generator)
        return SourceBatch(indices, images, len(indices))

    for _ in range(REMEMBERED * LONGEST):
        earlier.append(copy.deepcopy(learner.model.state_dict()))
        train_step(learner, batch(), learn=False)
    everything = torch.arange(len(walker.images))
    return Moment(
        copy.deepcopy(learner.model.state_dict()),
        copy.deepcopy(learner.optimiser.state_dict()),
        earlier,
        batch(),
        weighter.sample(everything, learner.randomness["weights"]).weights.detach(),
    )


class GivenDirection(TargetGradient):
    """Compares instances' gradients with this direction, whatever the step's target batch says."""

    def __init__(self, given: Direction):
        super().__init__()
        self._given = given

    def follow(self, direction: Direction) -> Direction:
        """The given one."""
        return self._given


def expected(learner: Learner, moment: Moment, target_batches: int) -> tuple[Tensor, GivenDirection]:
    """dL_meta/dw (k,) with the mean target gradient over this number of target batches, by the exact pass; and that
    mean."""
    learner = on_crops(learner)
    moment.restore(learner)
    batch, model = moment.batch, learner.model
    assert learner.alignment is not None
    views = model.task.views(batch.images, learner.crop, learner.randomness["views"])
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    weighted_update(learner, views, moment.weights[batch.indices], batch.instances)
    mean: dict[str, Tensor] = {}
    for _ in range(target_batches):
        direction, _ = learner.alignment.ask_target(learner.randomness)
        for name, value in direction.items():
            mean[name] = mean[name] + value / target_batches if name in mean else value / target_batches
    weights = moment.weights[batch.indices]
    derivatives = ForwardMode(model).derivatives(views, weights, batch.instances, before, mean)
    gradient = weight_gradient(derivatives, learner.optimiser.param_groups[0]["lr"], batch.instances)
    return gradient, GivenDirection(mean)


def drawn_gradients(learner: Learner, moment: Moment, draws: int, every: int) -> Tensor:
    """What that many steps from the same moment tell the weights (draws, k), all else drawn anew."""
    weighter = Given(moment.weights)
    learner = on_crops(dataclasses.replace(learner, weighter=weighter))
    told = []
    for number in range(draws):
        if number % every:  # a step without learning
            told.append(torch.zeros(len(moment.batch.indices)))
            continue
        assert learner.alignment is not None
        direction = learner.alignment.target_gradient
        if direction.momentum or direction.every > 1:
            direction.load_state_dict(TargetGradient().state_dict())
            # As many steps since the target was asked as there can be, in turns.
            begin = len(moment.earlier) - REMEMBERED * direction.every
            for parameters in moment.earlier[begin + number // every % direction.every :]:
                learner.model.load_state_dict(parameters)
                learner.alignment.ask_target(learner.randomness)
        moment.restore(learner)
        train_step(learner, moment.batch)
        assert weighter.gradient is not None
        told.append(weighter.gradient * every)
    return torch.stack(told)


def effect(gradients: Tensor, exact: Tensor, target_batches: float) -> dict[str, float]:
    """Bias, deviation and cosine of gradients (draws, k) against the exact one (k,); see the module's docstring.

    The exact one is a mean over so many target batches: infinitely many if all gradients took its direction.
    """
    gradients, exact = gradients.double(), exact.double()
    mean = gradients.mean(dim=0)
    deviation = float(((gradients - mean).square().sum(dim=1).mean().sqrt()) / exact.norm())
    return {
        "bias": float((mean - exact).norm() / exact.norm()),
        "resolved": deviation * math.sqrt(1 / len(gradients) + 1 / target_batches),
        "deviation": deviation,
        "cosine": statistics.mean(difference(told, exact)[0] for told in gradients if bool(told.any())),
    }


def _times(
    learners: Mapping[str, Learner],
    every: Mapping[str, int],
    in_turn: Mapping[str, int],
    moment: Moment,
    rounds: int,
) -> dict[str, float]:
    """Seconds a step with each option over those of the exact one, medians of rounds side by side; the mean of so many
    steps in turn, each kind among them."""

    def steps(name: str) -> Callable[[], None]:
        learner = on_crops(learners[name])
        moment.restore(learner)

        def run() -> None:
            for number in range(in_turn[name]):
                train_step(learner, moment.batch, learn=number % every[name] == 0)

        return run

    seconds = interleaved_seconds({name: steps(name) for name in learners}, rounds)
    return {name: ratio(seconds, name, EXACT)[0] / in_turn[name] for name in learners}


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
