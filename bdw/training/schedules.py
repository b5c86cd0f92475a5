"""The encoder's learning rate as a function of the share of the budget that is used (docs/design.md, section 2)."""

from __future__ import annotations

import math

from bdw.config import ScheduleConfig


def learning_rate(config: ScheduleConfig, rate: float, *, passes_done: float, used: float, used_after: float) -> float:
    """alpha of one step.

    Args:
        config: names the schedule.
        rate: the learning rate that the schedule starts from.
        passes_done: passes over the source behind the step; what milestones count. An epoch that a run counted in
            epochs has begun does not count.
        used: share of the budget that is used before the step, 0 to 1; what the cosine depends on.
        used_after: the same after the step; what the warm-up depends on, so that no step has a rate of 0.
    """
    if config.warm_up > 0:
        rate *= min(1.0, used_after / config.warm_up)
    if config.schedule == "cosine":
        # Loshchilov and Hutter, "SGDR", ICLR 2017, Eq. 5, without restarts, after the warm-up.
        beyond = max(0.0, used - config.warm_up) / (1 - config.warm_up)
        return rate * 0.5 * (1 + math.cos(math.pi * beyond))
    if config.schedule == "milestones":
        return rate * config.lr_gamma ** sum(milestone <= passes_done for milestone in config.lr_milestones)
    return rate
