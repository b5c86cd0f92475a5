"""Warnings about a run: what somebody who only reads the numbers would get wrong. Each appears only where it
applies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bdw.report.outcome import Outcome
from bdw.report.page import Notice
from bdw.report.unpruned import unpruned
from bdw.report.wording import percent, plural

FEW_VALIDATION_IMAGES = 200
"""Below it the interval of an accuracy of 90 % is more than 8 points wide."""


def cautions(outcome: Outcome) -> list[Notice]:
    """The warnings that apply to this run, the most important first."""
    return [
        *_unfinished(outcome),
        *_held_out_in_source(outcome),
        *_delivered_before_pruning(outcome),
        *_at_the_floor(outcome),
        *_nothing_pruned(outcome),
        *_few_validation_images(outcome),
        *_remarks(outcome),
    ]


def _unfinished(outcome: Outcome) -> Iterator[Notice]:
    if outcome.run.results is None:
        yield Notice(
            "This run has not finished",
            f"The page shows what there was after epoch {outcome.num_epochs}: the best encoder so far, weights of the "
            "last checkpoint, no test scores. The command at the end of the page continues it with --resume.",
        )


def _held_out_in_source(outcome: Outcome) -> Iterator[Notice]:
    same, nearly = (_source(outcome).get(name) or {} for name in ("held_out_in_source", "leaks"))
    shared = {split: max(int(same.get(split, 0)), int(nearly.get(split, 0))) for split in {**same, **nearly}}
    if shared:
        named = " and ".join(f"{plural(number, f'{split} image')}" for split, number in shared.items())
        copies = ", or on near-copies of them" if shared != same else ""
        yield Notice(
            "The source holds images of the target that scores are measured on",
            f"The encoder was trained on {named}{copies}, without labels. Where the images of the task are not at hand "
            "before training, scores will be lower than here.",
        )


def _remarks(outcome: Outcome) -> Iterator[Notice]:
    remarks = _source(outcome).get("remarks") or ()
    if remarks:
        yield Notice("Images of the source that may not be what they seem", f"{'; '.join(map(str, remarks))}.")


def _source(outcome: Outcome) -> Mapping[str, Any]:
    return outcome.run.description.get("source") or {}


def _delivered_before_pruning(outcome: Outcome) -> Iterator[Notice]:
    if not outcome.delivered_before_pruning:
        return
    text = (
        f"The best validation score is that of epoch {outcome.best}; the first images were pruned after epoch "
        f"{outcome.first_pruned}. So the delivered encoder was trained on all images and owes nothing to pruning."
    )
    if not outcome.run.config.get("weighted_loss", True):
        text += " It owes nothing to the weights either: in this run they only prune."
    if outcome.last is not None and outcome.validation is not None:
        text += (
            " The last epoch's encoder was trained on what was kept; it is encoder_last.safetensors, with a validation "
            f"{outcome.run.measure.label} of {outcome.last.text} against {outcome.validation.text}."
        )
    yield Notice("The delivered encoder saw no pruning", text)


def _at_the_floor(outcome: Outcome) -> Iterator[Notice]:
    if not outcome.pruned or outcome.kept is None or outcome.kept > outcome.floor:
        return
    remedy = (
        "Lower cdf_threshold (lambda) or weight_lr (eta), or raise density_threshold (rho)"
        if outcome.learns
        else "Give fewer images the weight 0"
    )
    yield Notice(
        "Pruning ran into its floor",
        f"The run ended with {plural(outcome.kept, 'image')}, the fewest that it may keep (min_kept or kept_share, by "
        "default a batch). These have the highest mean weights; the rule may have found some of them useless, too. "
        f"{remedy}.",
    )


def _nothing_pruned(outcome: Outcome) -> Iterator[Notice]:
    found = unpruned(outcome)
    if found is not None:
        yield Notice("Nothing was pruned", f"{found.why} {found.remedy}")


def _few_validation_images(outcome: Outcome) -> Iterator[Notice]:
    validation = outcome.validation
    if validation is None or validation.interval is None or validation.num_images is None:
        return
    if validation.num_images >= FEW_VALIDATION_IMAGES:
        return
    width = percent(validation.interval.high - validation.interval.low).removesuffix(" %")
    yield Notice(
        "Few validation images",
        f"{plural(validation.num_images, 'image')} chose the epoch. One image more or less is "
        f"{percent(1 / validation.num_images)}, and the 95 % interval of {validation.text} runs from "
        f"{validation.interval}, {width} points wide: epochs and settings that differ by less cannot be told apart.",
    )
