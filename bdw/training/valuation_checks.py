"""What valuations of further targets cannot work with."""

from __future__ import annotations

from bdw.config import RunConfig
from bdw.errors import InputError
from bdw.weighting import registry as weighters
from bdw.weighting.weighters.protocol import Learns


def check_valuations(config: RunConfig) -> None:
    """`InputError` for what valuations cannot work with, whatever the images are."""
    if not config.data.value_for:
        return
    given = list(config.data.value_for)
    for works, what, allowed in (
        (
            weighters.learns(config.weighter) is Learns.NEVER,
            f"weighter {config.weighter.weighter!r}, which learns from the target",
            "a weighter with fixed weights, such as 'uniform'",
        ),
        (config.gradient.tangent_views is None, f"tangent_views {config.gradient.tangent_views}", "none"),
        (not config.gradient.natural_direction, "natural_direction", "no natural_direction"),
        (config.budget.time_budget is None, f"time_budget {config.budget.time_budget}", "epochs or budget_images"),
    ):
        if not works:
            raise InputError(f"value_for: {given} cannot work with {what}; allowed: {allowed}")
