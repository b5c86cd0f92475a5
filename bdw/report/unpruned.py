"""Why a run with pruning pruned nothing, and what would make it prune."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bdw.report.outcome import Outcome
from bdw.report.run_files import has_distributions
from bdw.report.wording import number, percent, plural
from bdw.weighting.weighters.beta import is_useless, share_below

LAMBDAS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4)
"""Values tried in place of a run's lambda, lowest first; none near 1/2, the mean from which weights start."""
ENOUGH, TOO_MUCH = 0.02, 0.8
"""Another lambda is worth a trial if it would prune a share of the source between these two."""


@dataclass(frozen=True)
class Unpruned:
    """The reason, the remedy, and the lambda (cdf_threshold) that would prune, where the weights name one."""

    why: str
    remedy: str
    cdf_threshold: float | None = None


def unpruned(outcome: Outcome) -> Unpruned | None:
    """None where something was pruned, or nothing was meant to be."""
    config, weights = outcome.run.config, outcome.run.weights
    if outcome.first_pruned is not None or weights is None or not config.get("prune", False):
        return None
    if not outcome.learns:
        return Unpruned(
            "Fixed weights prune the images of weight 0, and none has it.",
            "Give the weight 0 to the images that shall go.",
        )
    burn_in = int(config.get("burn_in_epochs") or 0)
    if burn_in >= outcome.num_epochs:
        return Unpruned(
            f"Pruning begins after {plural(burn_in, 'epoch')} (burn_in_epochs), and the run had {outcome.num_epochs}.",
            "Train for longer or lower burn_in_epochs.",
        )
    if len(weights) <= outcome.floor:
        return Unpruned(
            f"The source has {plural(len(weights), 'image')}, and all of them must be kept (min_kept).",
            "Lower min_kept or batch_size.",
        )
    if config.get("weighter") == "l2rw":
        return Unpruned("The weighter l2rw has no pruning rule.", "Choose the weighter beta or counts.")
    if outcome.run.targets and config.get("combine_targets", "union") != "union":
        return _by_several_targets(outcome)
    if not has_distributions(weights):
        return Unpruned(
            f"The lowest weight is {number(float(weights['mean'].min()))}; an image is pruned once it has had "
            f"a gradient and its weight is not above lambda = {number(config['cdf_threshold'])}.",
            f"{_faster(outcome)}, or raise cdf_threshold (lambda).",
        )
    return _by_the_rule(outcome)


def _by_several_targets(outcome: Outcome) -> Unpruned:
    """Of `mean` and `vote`, whose combined weights have no distribution of their own."""
    config = outcome.run.config
    if config["combine_targets"] == "vote":
        share = float(config.get("vote_share", 0.5))
        why = f"Every image is kept by targets that count {percent(share)} of all or more (vote_share)."
        return Unpruned(why, f"{_faster(outcome)}, or raise vote_share.")
    why = "The pruning rule on the mean over the targets finds no image useless."
    return Unpruned(why, f"{_faster(outcome)}, or raise cdf_threshold (lambda).")


def _by_the_rule(outcome: Outcome) -> Unpruned:
    config, weights = outcome.run.config, outcome.run.weights
    assert weights is not None
    a, b = (weights[name].to_numpy(dtype=np.float64) for name in ("a", "b"))
    rule, share = float(config["cdf_threshold"]), float(config["density_threshold"])
    why = (
        f"The rule prunes an image once more than {percent(share)} of its weight's density (rho) lies below "
        f"{number(rule)} (lambda). The image nearest to that has {percent(float(share_below(a, b, rule).max()))} there."
    )
    remedy = f"{_faster(outcome)}, or let the rule ask for less: a higher cdf_threshold (lambda), a lower "
    remedy += "density_threshold (rho)."
    for other in LAMBDAS:
        would_go = int(is_useless(share_below(a, b, other), share).sum())
        if other > rule and ENOUGH <= would_go / len(weights) <= TOO_MUCH:
            told = f" With cdf_threshold {number(other)} the weights of the last epoch would prune {would_go:,} of "
            return Unpruned(why, f"{remedy}{told}{plural(len(weights), 'image')}.", other)
    return Unpruned(why, remedy)


def _faster(outcome: Outcome) -> str:
    rate = outcome.run.config.get("weight_lr")
    now = f" (now {number(float(rate))})" if isinstance(rate, (int, float)) else ""
    return f"Train for longer, raise weight_lr{now}, so that weights move faster"
