"""A run in three sentences: what was found, what it bought, and how sure that is. Page and console say the same."""

from __future__ import annotations

from bdw.report.outcome import Outcome, Score
from bdw.report.page import Finding
from bdw.report.planted import JUNK, words
from bdw.report.table_files import column
from bdw.report.wording import count, percent, plural, ratio, seconds

SPENT_ON_KEPT = "the images that pruning saved went to the kept ones"
"""What pruning buys in a run with a budget of images, in the place of time."""


def verdict(outcome: Outcome) -> list[Finding]:
    """The sentences for somebody who reads nothing else. They leave out what the run's files do not tell."""
    findings = [
        Finding("Found", " ".join(_found(outcome))),
        Finding("Bought", " ".join(_bought(outcome))),
        Finding("How sure", " ".join(_sure(outcome))),
    ]
    return [finding for finding in findings if finding.text]


def _found(outcome: Outcome) -> list[str]:
    total = outcome.num_images
    if outcome.run.weights is None:
        images = "all images" if total is None else f"all {plural(total, 'image')}"
        return [f"Nothing was learnt about single images: the run trained on {images} alike."]
    return [_kept(outcome), *_told_apart(outcome)]


def _kept(outcome: Outcome) -> str:
    total, kept, pruned = outcome.num_images or 0, outcome.kept, outcome.pruned
    everything = f"all {plural(total, 'image')} are kept"
    if pruned:
        when = f", the first after epoch {outcome.first_pruned}" if outcome.learns and outcome.first_pruned else ""
        return (
            f"{pruned:,} of {plural(total, 'image')} ({percent(pruned / total)}) were pruned as useless{when}; "
            f"{kept:,} are kept."
        )
    if outcome.first_pruned is not None:
        return f"At the end {everything}; images that were pruned earlier have come back."
    if not outcome.run.config.get("prune", True):
        return f"Pruning was off, so that {everything}; the weights rank them."
    return f"Nothing was pruned: {everything}."


def _told_apart(outcome: Outcome) -> list[str]:
    weights, measured = outcome.run.weights, outcome.separation
    if weights is None or measured is None:
        return []
    called = words(weights, str(outcome.run.config.get("target", "")))
    text = (
        f"The weights tell {called.useful} images from {called.others} with an AUROC of {ratio(measured.auroc)} "
        "(0.5 is guessing, 1 perfect)"
    )
    text += ", no better than guessing" if measured.auroc <= 0.5 else ""
    gone = weights[~weights["kept"].astype(bool) & (weights["planted"] >= 0)]
    if gone.empty:
        return [f"{text}."]
    share = float((gone["planted"] == JUNK).mean())
    return [f"{text}; {percent(share)} of the pruned are {called.others}."]


def _bought(outcome: Outcome) -> list[str]:
    return [*_accuracy(outcome), *_effort(outcome)]


def _accuracy(outcome: Outcome) -> list[str]:
    measure = outcome.run.measure
    of_epoch = f"The encoder of epoch {outcome.best}" if outcome.best is not None else "The encoder"
    if outcome.test is not None and outcome.run.targets:
        text = (
            f"The encoders of the {len(outcome.run.targets)} targets' own best epochs have a test {measure.label} of "
        )
        return [f"{text}{outcome.test.text} on average.", *_the_last_one(outcome)]
    if outcome.test is not None:
        text = f"{of_epoch} has a test {measure.label} of {outcome.test.text}{_bracket(outcome.test)}."
        return [text, *_the_last_one(outcome)]
    if outcome.validation is not None:
        return [f"{of_epoch} has a validation {measure.label} of {outcome.validation.text}."]
    return []


def _the_last_one(outcome: Outcome) -> list[str]:
    """What the last encoder is worth, where the delivered one precedes all pruning."""
    if not outcome.delivered_before_pruning or outcome.last is None or outcome.validation is None:
        return []
    return [
        f"It was trained before any image was pruned; the last epoch's, in encoder_last.safetensors, has a validation "
        f"{outcome.run.measure.label} of {outcome.last.text} against {outcome.validation.text}."
    ]


def _bracket(score: Score) -> str:
    return f" (95 % interval {score.interval})" if score.interval is not None else ""


def _effort(outcome: Outcome) -> list[str]:
    parts = []
    if outcome.budget is not None:
        used = outcome.seen / outcome.budget
        part = "the whole budget" if used >= 1 else f"{percent(used)} of the budget of {outcome.budget:,}"
        parts.append(f"training saw {count(outcome.seen)} images, {part}")
    elif outcome.num_images is not None:
        plain = outcome.num_images * outcome.num_epochs
        if outcome.seen < plain:
            share = percent(outcome.seen / plain)
            parts.append(f"training saw {count(outcome.seen)} images, {share} of the {plain:,} of plain training")
        else:
            parts.append(f"training saw {count(outcome.seen)} images, as many as plain training")
    parts += _balance(outcome)
    text = "; ".join(parts)
    return [f"{text[0].upper()}{text[1:]}."] if text else []


def _balance(outcome: Outcome) -> list[str]:
    spent, saved = outcome.spent, outcome.saved
    if outcome.budget is not None:
        parts = [f"weighting took {seconds(spent)}"] if spent else []
        return [*parts, SPENT_ON_KEPT] if outcome.first_pruned is not None else parts
    if spent is None or saved is None or not (spent or saved):
        return []
    if not saved:
        return [f"weighting took {seconds(spent)}, and nothing was saved"]
    gained = f"{seconds(abs(saved - spent))} {'gained' if saved >= spent else 'short of breaking even'}"
    return [f"weighting took {seconds(spent)}, pruning saved {seconds(saved)}: {gained}"]


def _sure(outcome: Outcome) -> list[str]:
    """The number of images behind the scores, and whether the best epoch stands out from the others."""
    validation, test = outcome.validation, outcome.test
    parts = []
    if test is not None and test.interval is not None:
        parts.append(f"The test score rests on {plural(test.num_images or 0, 'image')} and one seed.")
    if validation is not None and validation.interval is not None:
        chose = f"{plural(validation.num_images or 0, 'validation image')} chose the epoch"
        scores = column(outcome.run.metrics, "validation_score").dropna()
        others, alike = len(scores) - 1, sum(score in validation.interval for score in scores) - 1
        if others:
            parts.append(f"{chose}: {_of(alike, others)} within the best one's interval, {validation.interval}.")
        else:
            parts.append(f"{chose}; its 95 % interval is {validation.interval}.")
    return parts or ["One run with one seed: how much another seed would differ is not known."]


def _of(alike: int, others: int) -> str:
    if others == 1:
        return f"the other epoch {'scores' if alike else 'does not score'}"
    return f"{'none' if not alike else 'all' if alike == others else alike} of the {others} other epochs score"
