"""What a step costs, by its parts, as ratios to a plain step: `make bench` or `python -m benchmarks.step`.

plain            forward, backward, SGD on the weighted pretext loss (RotNet's or the auto-encoder's step)
meta pass        v = grad of the meta-loss on one target batch
tangents         all k inner products <v, grad L_i> by one forward-mode pass
BDW step         the whole step: weights drawn, plain step, meta pass, tangents, weights updated
cheap step       the same with tangents on one view of every image and weights learnt in every second step, mean of both
cheaper step     the cheap one with a meta pass in every second step that learns, mean of four
double backward  the same dL_meta/dw by back-propagating through the update (the reference of the tests)
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import tyro
from torch import Tensor
from torch.func import functional_call

from bdw import encoders, pretext
from bdw.config import MetaConfig, WeighterConfig
from bdw.data.image_table import ImageTable
from bdw.encoders import untouched_statistics
from bdw.parallel.randomness import Randomness
from bdw.pretext import Outputs, PretextModel, Views
from bdw.weighting import meta_loss
from bdw.weighting.gradient.alignment import Alignment
from bdw.weighting.gradient.estimators import ForwardMode, choose
from bdw.weighting.gradient.forward_mode import reference_weight_gradient
from bdw.weighting.gradient.target_gradient import TargetGradient
from bdw.weighting.step import Learner, SourceBatch, train_step
from bdw.weighting.weighters.beta import BetaWeighter
from bdw.weighting.weighters.fixed import FixedWeights
from benchmarks.harness import interleaved_seconds, peak_megabytes, provenance, ratio, write_result

LEARNING_RATE = 1e-4
"""Small, so that no setting leaves the finite numbers however often its step is repeated."""
PARTS = ("plain", "meta pass", "tangents", "BDW step", "cheap step", "cheaper step", "double backward")
CHEAP_EVERY = 2
"""The cheap step learns weights in one of this number of steps."""
CHEAP_STEPS = {"cheap step": 1, "cheaper step": 2}
"""Name of the step -> it takes the target's gradient in one of this number of steps that learn."""


@dataclass(frozen=True)
class Setting:
    """A model, an image size and a design."""

    encoder: str
    channels: int
    side: int
    batch: int
    shots: int
    queries: int
    pretext: str = "rotation"
    meta_loss: str = "prototype"


SETTINGS = {
    "table-1": Setting("mlp", 1, 28, 64, 5, 5, pretext="vae", meta_loss="pretext"),
    "digits": Setting("small_cnn", 1, 16, 64, 5, 5),
    "tiny-imagenet": Setting("small_resnet", 3, 32, 64, 5, 5),
    "stl10": Setting("resnet18", 3, 84, 32, 10, 10),
    "stl10-2shot": Setting("resnet18", 3, 84, 32, 2, 2),
}


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    setting: Literal["digits", "tiny-imagenet", "stl10", "stl10-2shot", "table-1"] = "digits"
    """Which model, image size and meta-batch design."""
    rounds: int = 15
    """How often every part is timed; parts take turns."""
    threads: int = 1
    """torch's threads."""
    memory: bool = True
    """Also measure the peak memory of every part, each in a process of its own."""
    save: bool = False
    """Keep the result in benchmarks/results."""
    seed: int = 0
    """Seed of the random images."""


def prepare(name: str, part: str, threads: int, seed: int) -> Callable[[], Any]:
    """A function without arguments that runs that part of a step once, on random images."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    setting = SETTINGS[name]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    learner = prepare_learner(setting, learns=part != "plain", device=device)
    batch = source_batch(setting, device)
    if part in ("plain", "BDW step"):
        return functools.partial(train_step, learner, batch)
    if part in CHEAP_STEPS:
        learner = on_some_views(learner, asks_every=CHEAP_STEPS[part])
        return functools.partial(_cheap_steps, learner, batch, CHEAP_STEPS[part])
    assert learner.alignment is not None
    if part == "meta pass":
        return functools.partial(learner.alignment.ask_target, learner.randomness)
    views = learner.model.task.views(batch.images, learner.crop, learner.randomness["views"])
    before = {name: value.detach().clone() for name, value in learner.model.named_parameters()}
    if part == "tangents":
        direction, _ = learner.alignment.ask_target(learner.randomness)
        tangents, weights = ForwardMode(learner.model).derivatives, torch.ones(setting.batch)
        return functools.partial(tangents, views, weights, setting.batch, before, direction)
    return functools.partial(_double_backward, learner, views, before, setting.batch)


def on_some_views(learner: Learner, *, asks_every: int = 1, tangent_views: int = 1) -> Learner:
    """The learner with a tangent pass on so many views, and a meta pass in one of so many steps that learn."""
    assert learner.alignment is not None
    chosen = choose(learner.model, tangent_views=tangent_views, generator=learner.randomness["tangent_views"])
    gradient = TargetGradient(every=asks_every)
    alignment = dataclasses.replace(learner.alignment, estimator=chosen, target_gradient=gradient)
    return dataclasses.replace(learner, alignment=alignment)


def _cheap_steps(learner: Learner, batch: SourceBatch, asks_every: int) -> None:
    for number in range(CHEAP_EVERY * asks_every):
        train_step(learner, batch, learn=number % CHEAP_EVERY == 0)


def source_batch(setting: Setting, device: torch.device) -> SourceBatch:
    """Random crops in [-1, 1] in the place of stored images, drawn from torch's global generator."""
    images = torch.rand(setting.batch, setting.channels, setting.side, setting.side, device=device) * 2 - 1
    return SourceBatch(torch.arange(setting.batch), images, setting.batch)


def prepare_learner(setting: Setting, *, learns: bool, device: torch.device) -> Learner:
    """What a step of that setting changes, with random target images; without `learns` all weights are 1."""
    encoder = encoders.build(setting.encoder, setting.channels, setting.side)
    task = pretext.build(setting.pretext, encoder)
    task.keep(torch.ones(setting.batch, dtype=torch.bool))
    model = PretextModel(encoder, task).to(device).train()
    per_class = 2 * (setting.shots + setting.queries)
    labels = torch.arange(10).repeat(per_class)
    pixels = np.random.default_rng(0).integers(
        0, 256, (len(labels), setting.channels, setting.side, setting.side), dtype=np.uint8
    )
    target = meta_loss.TargetImages(
        ImageTable(pixels, device), labels, tuple(map(str, range(10))), lambda images, _: images.float() / 127.5 - 1
    )
    design = MetaConfig(meta_loss=setting.meta_loss, ways=10, shots=setting.shots, queries=setting.queries)
    defaults = WeighterConfig()
    return Learner(
        model=model,
        replicated=model,
        optimiser=torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=0.9, weight_decay=1e-4),
        weighter=(
            BetaWeighter(
                setting.batch,
                learning_rate=defaults.weight_lr,
                momentum=defaults.weight_momentum,
                log_bound=defaults.log_bound,
                cdf_threshold=defaults.cdf_threshold,
                density_threshold=defaults.density_threshold,
            )
            if learns
            else FixedWeights(np.ones(setting.batch))
        ),
        alignment=Alignment(meta_loss.build(design, target, model.task), choose(model)) if learns else None,
        randomness=Randomness(0),
        augment=lambda images, _: images,
    )


def _double_backward(learner: Learner, views: Views, before: dict[str, Tensor], instances: int) -> Tensor:
    """The reference on the same model, views and meta-loss."""
    assert learner.meta_loss is not None
    model, loss = learner.model, learner.meta_loss
    batch = loss.draw(learner.randomness)

    class _At:
        """The model with other parameters, as far as a meta-loss looks at it."""

        def __init__(self, params: dict[str, Tensor]):
            prefix = "encoder."
            inner = {name.removeprefix(prefix): v for name, v in params.items() if name.startswith(prefix)}
            self.encoder = lambda images: functional_call(model.encoder, inner, (images,))
            self.task = model.task
            self._params = params

        def __call__(self, views: Views) -> Outputs:
            outputs: Outputs = functional_call(model, self._params, (views,))
            return outputs

    with untouched_statistics(model):
        return reference_weight_gradient(
            lambda params: model.task.losses(functional_call(model, params, (views,))),
            lambda params: loss(_At(params), batch),  # type: ignore[arg-type]
            before,
            torch.rand(instances, device=views.images.device),
            learning_rate=LEARNING_RATE,
            momentum=0.9,
            weight_decay=1e-4,
            momentum_buffers={name: torch.zeros_like(value) for name, value in before.items()},
        )


def main(arguments: Arguments) -> None:
    """Measure, print a table, and keep the result if asked to."""
    chosen = (arguments.threads, arguments.seed)
    variants = {part: prepare(arguments.setting, part, *chosen) for part in PARTS}
    seconds = interleaved_seconds(variants, arguments.rounds)
    for part, asks_every in CHEAP_STEPS.items():
        seconds[part] = [together / (CHEAP_EVERY * asks_every) for together in seconds[part]]
    rows: list[dict[str, Any]] = []
    for part in PARTS:
        median, low, high = ratio(seconds, part, "plain")
        memory = peak_megabytes(prepare, arguments.setting, part, *chosen) if arguments.memory else math.nan
        rows.append({"part": part, "ratio": median, "lowest": low, "highest": high, "peak_mb": memory})
    plain_ms = 1000 * sorted(seconds["plain"])[arguments.rounds // 2]
    setting = SETTINGS[arguments.setting]
    print(f"\n{arguments.setting}: {setting}; plain step {plain_ms:.1f} ms (median)")
    print(f"{'part':16} {'x plain':>8} {'lowest':>8} {'highest':>8} {'peak MB':>9} {'x plain':>8}")
    for row in rows:
        relative = row["peak_mb"] / rows[0]["peak_mb"]
        print(
            f"{row['part']:16} {row['ratio']:8.2f} {row['lowest']:8.2f} {row['highest']:8.2f} "
            f"{row['peak_mb']:9.1f} {relative:8.2f}"
        )
    if arguments.save:
        write_result(
            f"step-{arguments.setting}-cpu" if not torch.cuda.is_available() else f"step-{arguments.setting}-gpu",
            {**provenance(arguments.seed), "setting": vars(setting), "plain_ms": plain_ms, "parts": rows},
        )


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
