"""What follows from a run's signal and noise, in words.

Only what was measured (benchmarks/LOG.md) or follows from the forecast is advised.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from bdw.diagnostics.diagnosis import Diagnosis
from bdw.report.wording import percent, plural, ratio

LITTLE = 0.3
"""Signal-to-noise of a visit below which it takes thirty visits or more to tell a typical image."""
TOO_MANY = 0.2
"""Share of the others that the rule takes for useless when it has found half of the useless: it works by chance."""


def advice(found: Diagnosis, config: Mapping[str, Any]) -> list[str]:
    """Paragraphs, the verdict first; `config` is the run's flat config."""
    if not found.has_enough:
        return ["Too few visits to tell signal from noise: it takes at least two to an image, and ten are better."]
    return [_verdict(found), *_about_sharing(config), _pruning(found), *_remedies(found, config)]


def _verdict(found: Diagnosis) -> str:
    between = found.between
    measured = f"intraclass correlation {ratio(between.correlation)} ± {ratio(between.standard_error)}"
    if not between.is_certain:
        return (
            f"No signal could be told from noise ({measured}): what the weights of this run say about single images "
            "may be chance, as far as these visits show."
        )
    epochs = found.visits_to_tell * found.epochs_per_visit
    when = (
        plural(math.ceil(epochs), "epoch")
        if math.isfinite(epochs)
        else f"{plural(math.ceil(found.visits_to_tell), 'visit')}, but weights are no longer learnt"
    )
    says = "One visit says little" if found.signal_to_noise < LITTLE else "Visits agree with one another"
    return (
        f"{says}: the signal-to-noise of one is {ratio(found.signal_to_noise)} ({measured}). A typical image is on "
        f"its side of the average with 95 % after {when}."
    )


def _about_sharing(config: Mapping[str, Any]) -> Iterator[str]:
    if config.get("shared_derivatives"):
        yield (
            "These numbers measure single visits, before images that look alike share their evidence "
            "(shared_derivatives). They say nothing about the shared evidence, from which the weights learn."
        )


def _pruning(found: Diagnosis) -> str:
    forecast = found.forecast
    if forecast.epochs is None:
        text = f"When will the pruning rule have found half of the useless images? Expected: {forecast.why}."
        if forecast.why.startswith("not within"):
            text += " The weights move too slowly for that: a larger weight_lr (eta) moves them faster."
        return text
    wrong = forecast.others_pruned
    text = (
        "The pruning rule has found half of the useless images already"
        if forecast.epochs == 0
        else f"Expect {plural(forecast.epochs, 'more epoch')} until the rule has found half of the useless images"
    )
    text += f" ({percent(forecast.useless)} of the kept, by this evidence)"
    if math.isfinite(wrong):
        text += f"; it takes {percent(wrong)} of the others for useless by then"
    if wrong > TOO_MANY:
        text += ". That is pruning on noise: a smaller weight_lr (eta) lets more visits speak first"
    return text + "."


def _remedies(found: Diagnosis, config: Mapping[str, Any]) -> Iterator[str]:
    """What raised the signal on planted junk, where this run does without it and its numbers ask for it.

    AUROCs of the mean weight, 15 epochs, five seeds, as in the log.
    """
    if found.signal_to_noise >= 1:
        return
    meta_loss = str(config.get("meta_loss", ""))
    if "pretext" not in meta_loss:
        yield (
            "Try meta_loss pretext: on planted junk the AUROC of the weights was 0.77 with it; with prototypes alone "
            "it stayed near chance (0.54)."
        )
    if config.get("tangent_views") is not None:
        yield "Try all views for the tangents (no tangent_views): AUROC 0.83 against 0.79 with one view of four."
    if found.cosine < 0.5 and not config.get("direction_momentum"):
        yield (
            f"The target's direction is mostly noise (cosine {found.cosine:.2f} between successive target batches). "
            "Try direction_momentum 0.9: with counted signs the AUROC rose from 0.845 to 0.864."
        )
    if found.common_share > 0.1 and not config.get("centred_derivatives"):
        yield (
            f"{percent(found.common_share)} of a visit's variance is common to all images of its step and tells none "
            "from another. Try centred_derivatives and relative_derivatives together: AUROC 0.845 against 0.668 with "
            "counted signs; with the plain update a better best epoch (0.85 against 0.81), not a better last one."
        )
    if meta_loss == "pretext" and config.get("direction_parameters") == "all":
        yield (
            "Try direction_parameters head with relative_derivatives, centred_derivatives and direction_momentum 0.9: "
            "AUROC 0.93 against 0.76 at less than half the cost."
        )
    learns_from_one_batch = config.get("weighter") == "l2rw"
    has_linear_head = config.get("pretext") == "rotation"
    alone = config.get("direction_parameters") == "head" and has_linear_head and not learns_from_one_batch
    if alone and config.get("natural_direction") is False:
        yield (
            "Try natural_direction in the place of relative_derivatives to find images like the target's: on mixtures "
            "of real domains, with shared_derivatives, AUROC 0.90 against 0.77. Prune by it only where the pool holds "
            "much of the target's own domain: there what it keeps was better than as many images at random for 4 "
            "targets of 4, elsewhere for 2 of 10 and 6 of 10."
        )
    if not config.get("shared_derivatives") and not learns_from_one_batch:
        yield (
            "Try shared_derivatives, with which images that look alike share their evidence: on planted junk the best "
            "of all (preset digits_shared), AUROC 0.999 against 0.93 without it."
        )
