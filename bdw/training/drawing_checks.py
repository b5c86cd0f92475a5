"""What drawing by predicted usefulness cannot be combined with."""

from __future__ import annotations

from bdw.config import RunConfig
from bdw.errors import InputError
from bdw.training.task_weights import tasks_with_weights


def check_drawing(config: RunConfig, *, learns_from_verdicts: bool) -> None:
    """`InputError` if `draw_every` is given and the rest of the config says that it cannot work."""
    drawn = config.drawing.draw_every
    if drawn is None:
        return
    budget = config.budget
    for wrong, why in (
        (
            not learns_from_verdicts,
            f"weighter {config.weighter.weighter!r} and target_margin {config.gradient.target_margin}, which predict "
            "nothing; allowed: weighter 'counts' with a target_margin",
        ),
        (config.weighter.prune, "prune, which leaves no floor to images that were judged once; allowed: no prune"),
        (
            budget.budget_unit != "images" and budget.budget_images is None,
            f"budget_unit {budget.budget_unit!r}: an epoch is no pass; allowed: budget_unit 'images' or budget_images",
        ),
        (budget.time_budget is not None, "time_budget, which counts in passes; allowed: no time_budget"),
        (bool(tasks_with_weights(config)), "weights of tasks; allowed: weights_per 'image'"),
        (
            bool(config.data.targets),
            f"targets {list(config.data.targets)}: what is predicted is about one target; allowed: one target",
        ),
    ):
        if wrong:
            raise InputError(f"draw_every: {drawn} cannot work with {why}")
