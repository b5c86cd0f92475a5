"""How the live parts of a run are made from its config: the images, the weighter, and what a step changes."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bdw import encoders, evaluation, pretext
from bdw.config import EncoderConfig, OptimiserConfig, RunConfig
from bdw.config.budget import Budget
from bdw.data import Problem, load
from bdw.data.problem import cache_folder
from bdw.data.source_and_targets import LabelledProgress
from bdw.diagnostics.visit_statistics import VisitStatistics
from bdw.encoders import given_weights, precision
from bdw.encoders.compilation import compile_encoder
from bdw.evaluation.features import Settings
from bdw.parallel import collectives
from bdw.parallel.randomness import Randomness, drawn_from
from bdw.parallel.shared_work import InParallel, with_all
from bdw.pretext import PretextModel
from bdw.training import time_budget
from bdw.training.best_model import BestModel
from bdw.training.checks import check_batch, check_selected, check_selector, chosen_measures, require_same_data
from bdw.training.data_parallel import replicated
from bdw.training.embedders import embedder
from bdw.training.examiner import validation_of
from bdw.training.history import History
from bdw.training.meta_schedule import MetaSchedule
from bdw.training.progress import CurrentEpoch
from bdw.training.run_state import RunState
from bdw.training.selection_record import SelectionRecord
from bdw.training.task_weights import tasks_with_weights
from bdw.training.valuations import build_valuations, images_of
from bdw.training.wall_clock import WallClock
from bdw.weighting import meta_loss, selection
from bdw.weighting import registry as weighters
from bdw.weighting.asked_target import randomness_of
from bdw.weighting.drawing import Corrected, Drawing
from bdw.weighting.gradient import estimators
from bdw.weighting.gradient.alignment import Alignment
from bdw.weighting.gradient.by_task import ByTask
from bdw.weighting.gradient.estimators import GradientEstimator
from bdw.weighting.gradient.smoothing import Smoothing
from bdw.weighting.gradient.target_gradient import TargetGradient
from bdw.weighting.gradient.transforms import Centring, LogLoss, Observer, Transform
from bdw.weighting.gradient.update_derivative import Clipping
from bdw.weighting.keep_mask import KeepMask, min_kept
from bdw.weighting.largest_meta_batch import fitted
from bdw.weighting.learning import LearnsByVerdict, LearnsByVisit, LearnsForDrawing, Receiver
from bdw.weighting.meta_loss import Augment
from bdw.weighting.selection.protocol import Selection, Toolkit
from bdw.weighting.step import Learner
from bdw.weighting.target_columns import TargetColumn
from bdw.weighting.task_keep_mask import TaskKeepMask
from bdw.weighting.timer import WeightingTimer
from bdw.weighting.verdicts import Verdicts
from bdw.weighting.verdicts_by_task import VerdictsByTask
from bdw.weighting.weighters.protocol import Learns, Weighter


def load_problem(config: RunConfig, run_dir: Path, packing: LabelledProgress | None) -> Problem:
    """The problem; rank 0 packs what is not packed yet, then the others open it."""

    def check_target(labels: NDArray[np.int64], classes: tuple[str, ...]) -> None:
        if weighters.learns(config.weighter) is not Learns.NEVER or config.data.value_for:
            images = torch.from_numpy(labels)
            meta_loss.check(fitted(config.meta, images), images, classes)
        for measure in chosen_measures(config):
            measure.check(Settings.from_config(config), len(labels))

    def check_source(num_instances: int) -> None:
        check_batch(config, num_instances)
        check_selector(config, num_instances)

    problem = collectives.first_then_others(
        lambda: load(config.data, run_dir, packing, check_target=check_target, check_source=check_source),
        lambda: load(config.data, run_dir),
    )
    require_same_data(problem)
    return problem


def build_weighter(
    config: RunConfig, problem: Problem, run_dir: Path, device: torch.device, progress: LabelledProgress | None
) -> Weighter:
    """The weighter; rank 0 computes what can be kept in a cache, then the others find it there."""
    toolkit = build_toolkit(config, problem, run_dir, device, progress)
    columns = len(tasks_with_weights(config)) or 1
    return collectives.on_all(lambda: weighters.build(config.weighter, problem, toolkit, columns))


def build_selection(
    config: RunConfig, problem: Problem, run_dir: Path, device: torch.device, progress: LabelledProgress | None
) -> Selection:
    """What the config's selector chooses, the same on all workers: rank 0 computes it, and all train experts."""
    toolkit = build_toolkit(config, problem, run_dir, device, progress)

    def lead(in_parallel: InParallel) -> Selection:
        return selection.select(config.selector, problem, dataclasses.replace(toolkit, in_parallel=in_parallel))

    found = with_all(lead)
    check_selected(config, int(found.chosen.sum()))
    return found


def build_toolkit(
    config: RunConfig, problem: Problem, run_dir: Path, device: torch.device, progress: LabelledProgress | None
) -> Toolkit:
    """What a selector may use."""
    return Toolkit(
        device=device,
        cache_dir=cache_folder(config.data, run_dir),
        seed=config.optimiser.seed,
        progress=progress,
        embedder=functools.partial(embedder, data=config.data, channels=problem.source.channels),
    )


def build_state(
    config: RunConfig, problem: Problem, weighter: Weighter, device: torch.device, augment: Augment
) -> RunState:
    """The state of a run that has not begun."""
    num_instances = len(problem.source)
    budget, drawn, seed = Budget.of(config.budget, num_instances), config.drawing, config.optimiser.seed
    drawing = None
    if drawn.draw_every is not None:
        drawing = Drawing(num_instances, drawn.draw_every, drawn.draw_floor, seed=seed)
        weighter = Corrected(weighter, drawing) if drawn.draw_corrected else weighter
    learner, meta_losses = build_learner(config, problem, weighter, device, augment, drawing)
    floor = max(min_kept(config, num_instances), collectives.size())
    tasks = tasks_with_weights(config)
    mask = TaskKeepMask(num_instances, floor, tasks, seed=seed) if tasks else KeepMask(num_instances, floor, seed=seed)
    if tasks:
        learner.model.task.keep(mask.told)
    history, clock, measure = History(budget), WallClock(), evaluation.measure(config.evaluation.measure)
    return RunState(
        budget=budget,
        learner=learner,
        mask=mask,
        history=history,
        current=CurrentEpoch(config.optimiser.batch_size, mask, history, budget, drawing),
        schedule=MetaSchedule(
            config, budget, meta_losses, learns=weighter.learns, target=problem.target, mask=mask, history=history,
            clock=clock, valued=bool(problem.valued),
        ),
        best=BestModel(measure),
        best_of_targets={t: BestModel(measure, validation_of(t)) for t in problem.targets if len(problem.targets) > 1},
        clock=clock,
        selection=None if config.selector.selector is None else SelectionRecord(),
        drawing=drawing,
    )  # fmt: skip


def start_from_given_weights(config: EncoderConfig, model: PretextModel) -> None:
    """Put the weights that the config names into the encoder, and let the task begin with it; rank 0 downloads what is
    not there yet."""
    collectives.first_then_others(
        lambda: given_weights.start_from(config, model.encoder),
        lambda: given_weights.start_from(config, model.encoder, tells=False),
    )
    model.task.begin(model.encoder)


def build_learner(
    config: RunConfig,
    problem: Problem,
    weighter: Weighter,
    device: torch.device,
    augment: Augment,
    drawing: Drawing | None = None,
) -> tuple[Learner, list[meta_loss.MetaLoss]]:
    """What a step changes, drawn from the run's seed, and the meta-losses that it may learn from (`_meta_losses`)."""
    randomness = Randomness(config.optimiser.seed, collectives.rank())
    with drawn_from(randomness["model"]):
        size, norm = config.data.crop_size, config.encoder.norm
        encoder = encoders.build(config.encoder.encoder, problem.source.channels, size, norm)
        model = PretextModel(encoder, pretext.build(config.pretext.pretext, encoder, config.pretext.options))
        model.task.keep(torch.ones(len(problem.source), dtype=torch.bool))
    model = model.to(device)
    learns, several = weighter.learns is not Learns.NEVER, len(problem.targets) > 1
    targets = {name: images_of(target, device, augment) for name, target in problem.targets.items()}
    of_targets = {name: _meta_losses(config, each, model.task) for name, each in targets.items() if learns}
    first = next(iter(targets))
    meta_losses = of_targets.get(first, [])
    settings = config.optimiser
    precision.compute_in(config.hardware.precision, model)
    wrapped = replicated(model, torch.zeros(2, *encoder.image_shape, dtype=torch.uint8, device=device))
    if config.hardware.compile:
        compile_encoder(encoder)
    estimator = None
    if learns or problem.valued:
        before = weighter.learns is Learns.BEFORE_UPDATE
        estimator = _estimator(config, model, randomness, has_training_pass=not before)

    def alignment_of(loss: meta_loss.MetaLoss, images: meta_loss.TargetImages) -> Alignment:
        assert estimator is not None, "something is learnt"
        return _alignment(config, model, loss, images, len(problem.source), estimator, drawing)

    learner = Learner(
        model=model,
        replicated=wrapped,
        optimiser=optimiser_of(settings, [each for each in model.parameters() if each.requires_grad]),
        weighter=weighter,
        alignment=alignment_of(meta_losses[0], targets[first]) if learns and not several else None,
        randomness=randomness,
        augment=augment,
        clock=WeightingTimer(device),
        accumulate=settings.accumulate,
        clipping=None if settings.clip_norm is None else Clipping(settings.clip_norm),
        valuations=build_valuations(config, problem, model, augment, alignment_of),
        targets=[
            TargetColumn(
                name, alignment_of(losses[0], targets[name]), randomness_of(name, settings.seed, collectives.rank())
            )
            for name, losses in of_targets.items()
            if several
        ],
    )
    return learner, meta_losses


def optimiser_of(
    settings: OptimiserConfig, parameters: Sequence[torch.nn.Parameter]
) -> torch.optim.SGD | torch.optim.AdamW:
    """The model's optimiser."""
    rate, decay, momentum = settings.learning_rate, settings.weight_decay, settings.momentum
    if settings.optimiser == "adamw":
        betas = (momentum, settings.second_moment)
        return torch.optim.AdamW(parameters, lr=rate, betas=betas, weight_decay=decay)
    return torch.optim.SGD(parameters, lr=rate, momentum=momentum, weight_decay=decay)


def _meta_losses(
    config: RunConfig, target: meta_loss.TargetImages, task: pretext.PretextTask
) -> list[meta_loss.MetaLoss]:
    """The configured one and, for a time budget, those of smaller and smaller meta-batches."""
    largest = fitted(config.meta, target.labels)
    designs = [largest] if config.budget.time_budget is None else time_budget.designs(largest)
    losses = [meta_loss.build(design, target, task) for design in designs]
    smaller = [b for a, b in itertools.pairwise(losses) if b.images_per_batch < a.images_per_batch]
    return [losses[0], *smaller]


def _estimator(
    config: RunConfig, model: PretextModel, randomness: Randomness, *, has_training_pass: bool
) -> GradientEstimator:
    gradient = config.gradient
    head: estimators.Name = "natural_head" if gradient.natural_direction else "head"
    return estimators.choose(
        model,
        head if gradient.direction_parameters == "head" else "cheapest",
        has_training_pass=has_training_pass,
        parts=config.optimiser.accumulate,
        tangent_views=gradient.tangent_views,
        generator=randomness["tangent_views"],
        device=next(model.parameters()).device,
        weights_of_tasks=bool(tasks_with_weights(config)),
    )


def _alignment(
    config: RunConfig,
    model: PretextModel,
    loss: meta_loss.MetaLoss,
    target: meta_loss.TargetImages,
    num_instances: int,
    estimator: GradientEstimator,
    drawing: Drawing | None,
) -> Alignment:
    gradient, device = config.gradient, next(model.parameters()).device
    tasks = tasks_with_weights(config)

    def transform(make: Callable[[], Transform]) -> Transform:
        return ByTask([make() for _ in tasks]) if tasks else make()

    transforms: list[Transform] = []
    if gradient.relative_derivatives:
        transforms.append(transform(LogLoss))
    if gradient.centred_derivatives:
        transforms.append(transform(Centring))
    if config.output.diagnose_signal:
        transforms.append(Observer(VisitStatistics(num_instances, device)))
    if gradient.shared_derivatives:
        transforms.append(transform(lambda: Smoothing(num_instances)))
    receiver: Receiver = LearnsByVisit()
    if drawing is not None:
        receiver = LearnsForDrawing(drawing)
    elif gradient.target_margin is not None:
        of_tasks = [Verdicts(num_instances, gradient.target_margin) for _ in tasks or ("all",)]
        receiver = LearnsByVerdict(VerdictsByTask(of_tasks) if tasks else of_tasks[0], target)
    return Alignment(
        loss,
        estimator,
        TargetGradient(gradient.direction_momentum, gradient.direction_every, device),
        transforms,
        receiver,
        uses_source_statistics=gradient.target_statistics == "source",
    )
