"""What several targets of one run cannot work with."""

from __future__ import annotations

from bdw.config import RunConfig
from bdw.errors import InputError
from bdw.weighting import registry as weighters
from bdw.weighting.weighters.protocol import Learns


def check_targets(config: RunConfig) -> None:
    """`InputError` for what several targets cannot work with, whatever the images are.

    Fixed weights leave every option of learning aside, so that a run is compared with them by one option alone.
    """
    targets, weighter = list(config.data.targets), config.weighter
    learns = weighters.learns(weighter)
    if not targets or learns is Learns.NEVER:
        return
    shares = list(weighter.target_shares)
    if len(shares) not in (0, len(targets)):
        raise InputError(
            f"target_shares: {shares} cannot work with {len(targets)} targets; allowed: a positive number for each, or "
            "none"
        )
    normalised = weighter.normalise_weights and weighter.weighted_loss
    for works, what, allowed in (
        (
            learns is Learns.AFTER_UPDATE,
            f"weighter {weighter.weighter!r}, whose weights follow from one target's meta-gradient",
            "'beta', 'counts', 'point' or fixed weights",
        ),
        (weighter.weights_per == "image", f"weights_per {weighter.weights_per!r}", "'image'"),
        (not normalised, "normalise_weights", "no normalise_weights"),
        (config.gradient.tangent_views is None, f"tangent_views {config.gradient.tangent_views}", "none"),
        (not config.gradient.natural_direction, "natural_direction", "no natural_direction"),
        (config.budget.time_budget is None, f"time_budget {config.budget.time_budget}", "epochs or budget_images"),
        (not config.output.diagnose_signal, "diagnose_signal, which is about one target", "no diagnose_signal"),
        (not config.output.record_trajectory, "record_trajectory, which is about one target", "no record_trajectory"),
    ):
        if not works:
            raise InputError(f"targets: {targets} cannot work with {what}; allowed: {allowed}")
