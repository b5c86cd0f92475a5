"""The first lines of a run: what is trained on what, where, and how it is spread."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from bdw.config import RunConfig
from bdw.config.budget import Budget
from bdw.config.meta import SIZES
from bdw.data import Problem, Target, leaks, unused
from bdw.data.problem import not_read_here
from bdw.parallel import collectives
from bdw.training.run_state import RunState
from bdw.weighting import registry as weighters
from bdw.weighting.largest_meta_batch import fitted
from bdw.weighting.weighters.protocol import Learns


def headline(state: RunState, config: RunConfig, problem: Problem, device: torch.device) -> str:
    """The first lines of a run: data, model and precision, device and why, batches, directory."""
    learner, source, workers = state.learner, problem.source, collectives.size()
    parameters = sum(each.numel() for each in learner.model.parameters() if each.requires_grad)
    why = "as asked" if config.hardware.device != "auto" else "no GPU found" if device.type == "cpu" else "found"
    batch = config.optimiser.batch_size
    threads = f", {torch.get_num_threads()} thread(s) each" if device.type == "cpu" else ""
    lines = [
        f"source  {config.data.source}: {len(source):,} images of "
        f"{' x '.join(map(str, source.images.shape[1:]))} (channels x height x width)",
        *(
            f"target  {name}: {len(target.classes)} classes; {len(target.train):,} train, "
            f"{len(target.validation):,} validation, {len(target.test):,} test images"
            for name, target in _by_written_name(problem, config).items()
        ),
        f"model   {config.encoder.encoder} with the {config.pretext.pretext} head: {parameters:,} parameters, "
        f"{config.hardware.precision}{', compiled' if config.hardware.compile else ''}",
        f"device  {device} ({why}), {workers} worker(s){threads}",
        f"batch   {batch} source images a step ({batch / workers:g} a worker), "
        f"{learner.meta_batch * workers} target images a meta-batch",
        f"weights {config.weighter.weighter}{_combined(state, config)}"
        + ("" if config.weighter.prune else ", without pruning"),
        *_selected(state, config, len(source)),
        *_length(state.budget),
        *_budget(config),
        f"run     {Path(config.output.run_dir).resolve()}"
        + (f", continued after {state.position}" if any(state.position) else ""),
    ]
    return "\n".join([*lines, *notes(config, problem)])


def _by_written_name(problem: Problem, config: RunConfig) -> Mapping[str, Target]:
    """The targets; the only one by its name in the config."""
    return problem.targets if len(problem.targets) > 1 else {config.data.target: problem.target}


def _combined(state: RunState, config: RunConfig) -> str:
    """What is made of the columns of several targets."""
    if not state.learner.targets:
        return ""
    return f", {config.weighter.combine_targets} of {len(state.learner.targets)} targets"


def notes(config: RunConfig, problem: Problem) -> list[str]:
    """What is odd of the data, a line each: other data of the same name, images on both sides, what is not used."""
    source, targets = problem.source, problem.targets.values()
    lines = [
        *not_read_here(config.data),
        *(f"the source holds {n:,} of the target's {split} images" for split, n in problem.held_out_in_source.items()),
        *_leaks(problem),
        *dict.fromkeys([*source.remarks, *(remark for target in targets for remark in target.remarks)]),
        *dict.fromkeys(line for target in targets for line in _shrunk(config, target)),
    ]
    lines = [f"note    {line}" for line in lines]
    skipped = [*source.header["skipped"], *(entry for target in targets for entry in target.skipped)]
    if skipped:
        lines.append(
            f"skipped {unused.number_of(skipped):,} file(s) that are not used: {unused.told(skipped)}, such as "
            f"{skipped[0]['name']}; all are listed in {source.path / 'header.json'} or the target's"
        )
    return lines


def _leaks(problem: Problem) -> list[str]:
    found = problem.leaks
    if found is None:
        return ["the source was not searched for images that nearly are the target's held-out ones: bdw leaks does it"]
    # Those that are the same to a pixel, or by name, have a line already.
    same = sum(problem.held_out_in_source.values())
    if len({(leak.split, leak.held_out) for leak in found}) <= same:
        return []
    return [f"{leaks.in_words(found)}; --data.without-leaks leaves them out"]


def _shrunk(config: RunConfig, target: Target) -> list[str]:
    if weighters.learns(config.weighter) is Learns.NEVER:
        return []
    before, labels = config.meta, torch.from_numpy(target.train.labels)
    after = fitted(before, labels)
    changes = [
        f"{name} {getattr(after, name)} for {getattr(before, name)}"
        for name in SIZES
        if getattr(after, name) != getattr(before, name)
    ]
    if not changes:
        return []
    return [
        f"{', '.join(changes)}: the target has {len(target.classes)} classes and {len(labels):,} training images, "
        f"{int(labels.bincount().min()):,} in the smallest class"
    ]


def _selected(state: RunState, config: RunConfig, num_instances: int) -> list[str]:
    """What a selector chose, and what it cost, what later choices use again apart."""
    record = state.selection
    if record is None or record.cost is None:
        return []
    cost = record.cost
    again = f", and {cost.shared_seconds:.1f} s on what later choices use again" if cost.shared_images else ""
    return [
        f"chosen  {record.count:,} of {num_instances:,} images by {config.selector.selector}, in {cost.seconds:.1f} s"
        f"{again}"
    ]


def _length(budget: Budget) -> list[str]:
    if budget.images is None:
        return []
    return [f"length  {budget.images:,} images through training steps, {budget.passes:.3g} passes over the source"]


def _budget(config: RunConfig) -> list[str]:
    minutes = config.budget.time_budget
    return [] if minutes is None else [f"time    at most {minutes:g} minutes, so not repeatable bit for bit"]
