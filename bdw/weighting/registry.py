"""What the config field `weighter` may name: weighters, which learn during training, and selectors.

One file and one line each, in `_weighters` here or in `bdw.weighting.selection`.
"""

from __future__ import annotations

from bdw.config import WeighterConfig
from bdw.data import Problem
from bdw.errors import unknown_option
from bdw.weighting import selection
from bdw.weighting.selection.protocol import Toolkit
from bdw.weighting.weighters.protocol import Learns, Weighter, WeighterClass


def _weighters() -> dict[str, WeighterClass]:
    from bdw.weighting.weighters.beta import BetaWeighter
    from bdw.weighting.weighters.counts import CountsWeighter
    from bdw.weighting.weighters.l2rw import L2RWWeighter
    from bdw.weighting.weighters.point import PointWeighter

    return {"beta": BetaWeighter, "counts": CountsWeighter, "l2rw": L2RWWeighter, "point": PointWeighter}


def available() -> tuple[str, ...]:
    """Names that the config field `weighter` accepts."""
    return tuple(sorted((*_weighters(), *selection.weightings())))


def learns(config: WeighterConfig) -> Learns:
    """When the weighter that the config names learns."""
    weighter = _weighter(config)
    return Learns.NEVER if weighter is None else weighter.learns


def check(config: WeighterConfig) -> None:
    """`InputError` for what the config alone says cannot work."""
    weighter = _weighter(config)
    if weighter is None:
        selection.build(config)
    else:
        weighter.check(config)


def build(config: WeighterConfig, problem: Problem, toolkit: Toolkit, columns: int = 1) -> Weighter:
    """The weighter that the config names, or the fixed weights of the selector that it names.

    `columns`: weights of an instance that are learnt, one for each pretext task; fixed weights are those of instances.
    Of several targets each has a column of its own.
    """
    from bdw.weighting.weighters.equal_loss import EqualLoss
    from bdw.weighting.weighters.fixed import FixedWeights
    from bdw.weighting.weighters.learnt import LearntWeighter
    from bdw.weighting.weighters.of_targets import OfTargets
    from bdw.weighting.weighters.per_task import PerTask
    from bdw.weighting.weighters.self_normalised import SelfNormalised

    chosen, instances = _weighter(config), len(problem.source)
    weighter: Weighter
    if chosen is None:
        weighter = FixedWeights(selection.build(config).weights(problem, toolkit))
    elif len(problem.targets) > 1:
        learnt = chosen.from_config(config, instances, len(problem.targets))
        assert isinstance(learnt, LearntWeighter), "checked with the config"
        weighter = OfTargets(learnt, config.combine_targets, config.target_shares, config.vote_share)
    elif config.weights_per == "task":
        weighter = PerTask(chosen.from_config(config, 1, columns), instances)
    else:
        weighter = chosen.from_config(config, instances, columns)
    if not config.weighted_loss:
        return EqualLoss(weighter)
    return SelfNormalised(weighter) if config.normalise_weights else weighter


def _weighter(config: WeighterConfig) -> WeighterClass | None:
    """The class of a weighter that learns; none for a selector's name."""
    if config.weighter not in available():
        raise unknown_option("weighter", config.weighter, available())
    return _weighters().get(config.weighter)
