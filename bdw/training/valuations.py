"""Usefulness by target: how valuations are made from a run's config, and what a run leaves for every target."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch

from bdw.config import RunConfig
from bdw.data import Problem, Target
from bdw.data.image_table import ImageTable
from bdw.parallel import collectives
from bdw.pretext import PretextModel
from bdw.runs import export
from bdw.runs.directory import RunDirectory
from bdw.scoring.fitting import fit_scorer
from bdw.training.run_state import RunState
from bdw.weighting import meta_loss
from bdw.weighting.asked_target import randomness_of
from bdw.weighting.gradient.alignment import Alignment
from bdw.weighting.largest_meta_batch import fitted
from bdw.weighting.meta_loss import Augment, TargetImages
from bdw.weighting.valuation import Valuation
from bdw.weighting.weighters.counts import CountsWeighter
from bdw.weighting.weighters.protocol import HasColumns, WeightTable

AlignmentOf = Callable[[meta_loss.MetaLoss, TargetImages], Alignment]
"""From a target's meta-loss and images."""


def build_valuations(
    config: RunConfig, problem: Problem, model: PretextModel, augment: Augment, alignment_of: AlignmentOf
) -> list[Valuation]:
    """One for every target that the source is valued for. Evidence is counted, as the weighter `counts` does it."""
    device = next(model.parameters()).device
    counted, found = dataclasses.replace(config.weighter, weighter="counts"), []
    for name, target in problem.valued.items():
        images = images_of(target, device, augment)
        loss = meta_loss.build(fitted(config.meta, images.labels), images, model.task)
        weighter = CountsWeighter.from_config(counted, len(problem.source))
        randomness = randomness_of(name, config.optimiser.seed, collectives.rank())
        found.append(Valuation(name, alignment_of(loss, images), randomness, weighter))
    return found


def images_of(target: Target, device: torch.device, augment: Augment) -> TargetImages:
    """The target's training images, on that device."""
    labels = torch.from_numpy(target.train.labels)
    return TargetImages(ImageTable(target.train.images, device), labels, target.classes, augment)


def tables_by_target(state: RunState) -> dict[str, WeightTable]:
    """What is known of the source's usefulness for each target: of several that are trained for, and of those that the
    source is valued for."""
    weighter, found = state.learner.weighter, {}
    if state.learner.targets:
        assert isinstance(weighter, HasColumns), "every target has a column"
        names = [column.target for column in state.learner.targets]
        found = dict(zip(names, weighter.column_tables(), strict=True))
    return found | {each.target: each.weighter.table() for each in state.learner.valuations}


def write_usefulness(state: RunState, problem: Problem, run: RunDirectory, *, scorers: bool) -> None:
    """usefulness_TARGET.parquet of every target, with the columns of instance_weights.parquet; and, once the encoder is
    written, its scorer_TARGET.safetensors."""
    for target, weights in tables_by_target(state).items():
        table = export.weights_table(problem.source, weights, state.mask)
        export.write_table(run.usefulness(target), table)
        scorer = run.scorer_for(target)
        scorer.unlink(missing_ok=True)
        if scorers:
            device = next(state.learner.model.parameters()).device
            fit_scorer(run, problem.source, weights, state.mask.kept.numpy(), device, scorer)
