"""What is refused before a run computes anything, with one line that says why."""

from __future__ import annotations

import logging

import torch

from bdw import encoders, evaluation, pretext
from bdw.config import RunConfig
from bdw.config.budget import Budget
from bdw.data import Problem
from bdw.encoders import given_weights, precision
from bdw.encoders.compilation import require_compiler
from bdw.errors import InputError, unknown_option
from bdw.evaluation import Measure
from bdw.evaluation.features import check_layer
from bdw.parallel import collectives, device
from bdw.runs import trackers, trajectory
from bdw.training.drawing_checks import check_drawing
from bdw.training.embedders import check_features
from bdw.training.rated_start import check_start
from bdw.training.target_checks import check_targets
from bdw.training.task_weights import check_task_weights
from bdw.training.valuation_checks import check_valuations
from bdw.weighting import meta_loss, selection
from bdw.weighting import registry as weighters
from bdw.weighting.gradient.forward_mode_support import require_forward_mode
from bdw.weighting.gradient.natural_gradient import has_linear_head
from bdw.weighting.selection.size import Size
from bdw.weighting.weighters.protocol import Learns

logger = logging.getLogger(__name__)

LARGEST_ADAMW_RATE = 0.02
"""Above it a run with AdamW is told that its learning rate is one for SGD."""


def check_names(config: RunConfig) -> None:
    """`InputError` for a name that no registry knows."""
    encoders.check_name(config.encoder.encoder)
    for field, value, known in (
        ("pretext", config.pretext.pretext, pretext.available()),
        ("weighter", config.weighter.weighter, weighters.available()),
    ):
        if value not in known:
            raise unknown_option(field, value, known)
    chosen_measures(config)


def check(config: RunConfig) -> None:
    """`InputError` for what cannot work whatever the images are: names that no registry knows, and what cannot meet."""
    check_names(config)
    weighters.check(config.weighter)
    if config.selector.selector is not None:
        selection.chooser(config.selector)
        check_features(getattr(config.selector.selector_options, "features", None), config.data.crop_size)
    trajectory.check(config)
    trackers.require_usable(config.output.trackers, option="trackers")
    if config.output.diagnose_signal and weighters.learns(config.weighter) is Learns.NEVER:
        raise InputError(
            f"diagnose_signal: weighter {config.weighter.weighter!r} learns nothing from meta-gradients, so that there "
            "is no signal to diagnose; allowed: a weighter that learns, or no --diagnose-signal"
        )
    if weighters.learns(config.weighter) is Learns.BEFORE_UPDATE and config.weighter.learn_share < 1:
        raise InputError(
            f"learn_share: {config.weighter.learn_share:g} cannot work with weighter {config.weighter.weighter!r}: the "
            "weights of a step follow from its own meta-gradient; allowed: 1"
        )
    if weighters.learns(config.weighter) is Learns.BEFORE_UPDATE and config.weighter.meta_every > 1:
        raise InputError(
            f"meta_every: {config.weighter.meta_every} cannot work with weighter {config.weighter.weighter!r}: the "
            "weights of a step follow from its own meta-gradient; allowed: 1"
        )
    for field, what in (
        ("natural_direction", "features"),
        ("relative_derivatives", "losses"),
        ("shared_derivatives", "features"),
    ):
        if weighters.learns(config.weighter) is Learns.BEFORE_UPDATE and getattr(config.gradient, field):
            raise InputError(
                f"{field}: cannot work with weighter {config.weighter.weighter!r}, which asks for derivatives before "
                f"the {what} are known; allowed: false"
            )
    # Fixed weights leave every option of learning aside, so that a run is compared with them by one option alone.
    if learns_from_verdicts(config) and config.weighter.weighter != "counts":
        raise InputError(
            f"target_margin: cannot work with weighter {config.weighter.weighter!r}, which learns from visits; "
            "allowed: weighter 'counts', or none"
        )
    check_drawing(config, learns_from_verdicts=learns_from_verdicts(config))
    check_task_weights(config)
    check_valuations(config)
    check_targets(config)
    check_start(config)
    task = pretext.task_class(config.pretext.pretext, config.pretext.options)
    _check_optimiser(config, task)
    fewest = 1 if task.views_are_separate else task.num_views
    if not fewest <= (config.gradient.tangent_views or fewest) <= task.num_views:
        raise InputError(
            f"tangent_views: {config.gradient.tangent_views} cannot work, an image has {task.num_views} view(s) in "
            f"{config.pretext.pretext!r}; allowed: {fewest} to {task.num_views}, or none for all"
        )
    names = meta_loss.names(config.meta.meta_loss)
    if config.gradient.direction_parameters == "head" and names != {"pretext"}:
        raise InputError(
            f"direction_parameters: 'head' cannot work with meta_loss {config.meta.meta_loss!r}: prototypes do not "
            "depend on the head; allowed: 'all', or meta_loss 'pretext'"
        )
    learns = weighters.learns(config.weighter) is not Learns.NEVER or bool(config.data.value_for)
    if learns and "pretext" in names and config.gradient.target_statistics != "source":
        _require_two_rows(config, "target_batch", config.meta.target_batch, config.meta.target_batch, 2)
    if learns and "pretext" in names:
        _require_two_instances(config, "target_batch", config.meta.target_batch, config.meta.target_batch, 2)
    given_weights.check(config.encoder, config.data.crop_size)
    with torch.device("meta"):
        encoder = encoders.build(config.encoder.encoder, 3, config.data.crop_size, config.encoder.norm)
        check_layer(encoder, config.evaluation.layer)
        if learns and config.gradient.direction_parameters != "head":
            require_forward_mode(encoder, config.encoder.encoder)
        built = pretext.build(config.pretext.pretext, encoder, config.pretext.options)
        if config.gradient.natural_direction and not has_linear_head(built):
            raise InputError(
                f"natural_direction: cannot work with pretext {config.pretext.pretext!r}, whose head is not linear; "
                "allowed: false"
            )


def _check_optimiser(config: RunConfig, task: type[pretext.PretextTask]) -> None:
    optimiser = config.optimiser
    if optimiser.accumulate > 1 and (task.instances_interact or not task.loss_is_mean):
        raise InputError(
            f"accumulate: {optimiser.accumulate} cannot work with pretext {config.pretext.pretext!r}, whose instances "
            "must see each other; allowed: 1 (more workers take less memory each)"
        )
    if optimiser.optimiser == "adamw" and config.gradient.natural_direction:
        raise InputError(
            "natural_direction: cannot work with optimiser 'adamw', which has a metric of its own; allowed: false"
        )
    if optimiser.optimiser == "adamw" and optimiser.learning_rate > LARGEST_ADAMW_RATE:
        logger.warning(
            "learning_rate: %g is a rate for sgd; with adamw 0.0001 to 0.001 is usual", optimiser.learning_rate
        )


def usable_device(config: RunConfig) -> torch.device:
    """The device to train on; `InputError` unless it can compute as the config wants it to."""
    if config.hardware.compile and config.encoder.norm == "sync":
        raise InputError("compile: cannot work with norm 'sync', which waits for other workers; allowed: --no-compile")
    chosen = device.choose(config.hardware.device)
    precision.require_supported(config.hardware.precision, chosen)
    if config.hardware.compile:
        require_compiler(chosen)
    return chosen


def learns_from_verdicts(config: RunConfig) -> bool:
    """Whether the weighter learns from verdicts once an epoch instead of from every visit."""
    return config.gradient.target_margin is not None and weighters.learns(config.weighter) is not Learns.NEVER


def chosen_measures(config: RunConfig) -> list[Measure]:
    """All measures that the run takes; `InputError` for a name that none has."""
    chosen = config.evaluation
    fields = {"measure": (chosen.measure,), "monitors": chosen.monitors, "final_measures": chosen.final_measures}
    measures = [(field, evaluation.measure(name, field)) for field, names in fields.items() for name in names]
    for field, measure in measures:
        if measure.needs_kept and field != "final_measures":
            raise InputError(
                f"{field}: {measure.name!r} needs the images that the run keeps in the end; allowed: final_measures"
            )
    return [measure for _, measure in measures]


def warn_of_small_budget(budget: Budget, kept: int, *, prunes: bool) -> None:
    """Say what cannot happen within a budget of no more than one pass over the images that are kept."""
    if budget.images is None or budget.images > kept:
        return
    lost = ["some are never seen"] if budget.images < kept else []
    if prunes:
        lost.append("nothing is gained by pruning, which happens between passes")
    if lost:
        logger.warning(
            "budget_images: %s images are no more than the %s of one pass, so that %s",
            f"{budget.images:,}",
            f"{kept:,}",
            " and ".join(lost),
        )


def check_batch(config: RunConfig, num_instances: int) -> None:
    """`InputError` for a batch that is larger than the source, or one that is or may become too small."""
    batch_size, workers = config.optimiser.batch_size, collectives.size()
    if batch_size > num_instances:
        raise InputError(f"batch_size: {batch_size} is larger than the source of {num_instances} images")
    # Batches of an epoch are equal to one image, so they may be half as large as asked for; every worker needs one.
    if 1 < workers > batch_size // 2:
        raise InputError(
            f"batch_size: {batch_size} is too small for {workers} workers; allowed: at least {2 * workers}"
        )
    # Pruning may leave any number of images to be cut into equal batches.
    least = -(-batch_size // 2) if config.weighter.prune else num_instances // -(-num_instances // batch_size)
    accumulate = config.optimiser.accumulate
    if accumulate > max(1, least // workers):
        raise InputError(
            f"accumulate: {accumulate} cannot work: a step may leave {least // workers} image(s) to a worker; allowed: "
            f"at most {max(1, least // workers)}"
        )
    _require_two_rows(config, "batch_size", batch_size, least // workers // accumulate, 4 * workers * accumulate - 1)
    _require_two_instances(config, "batch_size", batch_size, least, 3 if config.weighter.prune else 2)
    if config.weighter.prune and config.weighter.min_kept is not None:
        floor = min(max(config.weighter.min_kept, workers), num_instances)
        _require_two_rows(config, "min_kept", config.weighter.min_kept, floor // workers, 2 * workers)
        _require_two_instances(config, "min_kept", config.weighter.min_kept, floor, 2)


def check_selector(config: RunConfig, num_instances: int) -> None:
    """`InputError` for a selector that is asked for more images than there are, or for less than a batch."""
    if config.selector.selector is not None:
        wanted = Size.of(config.selector, required=False).within(num_instances)
        check_selected(config, num_instances if wanted is None else wanted)


def check_selected(config: RunConfig, num_selected: int) -> None:
    """`InputError` for a choice before training that is smaller than a batch."""
    batch_size, chosen = config.optimiser.batch_size, config.selector
    if num_selected < batch_size:
        name = "selected_count" if chosen.selected_count is not None else "selected_share"
        raise InputError(
            f"{name}: {getattr(chosen, name)} leaves {num_selected} image(s) to train on, less than a batch; allowed: "
            f"at least batch_size = {batch_size}"
        )


def check_task(config: RunConfig, images: pretext.Images, num_instances: int) -> None:
    """`InputError` if the pretext task cannot work with such stored images, or with so many."""
    with torch.device("meta"):
        encoder = encoders.build(config.encoder.encoder, images.channels, config.data.crop_size, config.encoder.norm)
        task = pretext.build(config.pretext.pretext, encoder, config.pretext.options)
        task.check(images)
        task.keep(torch.ones(num_instances, dtype=torch.bool, device="cpu"))


def _require_two_instances(config: RunConfig, field: str, value: int, images: int, allowed: int) -> None:
    """`InputError` if a step may have one image where the pretext task compares the images of a step."""
    task = pretext.task_class(config.pretext.pretext, config.pretext.options)
    if images < 2 and task.instances_interact:
        raise InputError(
            f"{field}: {value} cannot work: it may leave one image to a step, and pretext {config.pretext.pretext!r} "
            f"compares the images of a step; allowed: at least {allowed}"
        )


def _require_two_rows(config: RunConfig, field: str, value: int, images: int, allowed: int) -> None:
    """`InputError` if a batch of so few images is one row where the encoder's batch norm needs two."""
    views = pretext.task_class(config.pretext.pretext, config.pretext.options).num_views
    if images * min(config.gradient.tangent_views or views, views) > 1:
        return
    size = config.data.crop_size
    with torch.device("meta"):
        encoder = encoders.build(config.encoder.encoder, 3, size, config.encoder.norm).train()
        try:
            encoder(torch.empty(1, *encoder.image_shape))
        except ValueError:  # torch's, where a channel has but one value
            raise InputError(
                f"{field}: {value} cannot work: it may leave one image to a batch, and batch norm of encoder "
                f"{config.encoder.encoder!r} at {size} x {size} pixels needs two; allowed: at least {allowed}"
            ) from None


def require_same_data(problem: Problem) -> None:
    """`InputError`, on every worker, if some worker's machine has other images under the same name."""
    everyones = collectives.gather_objects({"source": problem.source.content_key, "target": problem.target_key})
    for number, keys in enumerate(everyones):
        for name, key in keys.items():
            if key != everyones[0][name]:
                raise InputError(
                    f"{name}: worker {number} has other images than worker 0 (content key {key}, {everyones[0][name]} "
                    "there); allowed: the same data on all machines"
                )
