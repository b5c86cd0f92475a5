"""Which weighters there are, by name. One file and one line in `_weighters` each."""

from __future__ import annotations

from bdw.config import WeighterConfig
from bdw.errors import InputError, unknown_option
from bdw.weighting.weighters.protocol import Learns, Weighter, WeighterClass, WeighterContext


def _weighters() -> dict[str, WeighterClass]:
    from bdw.weighting.selection.from_file import GivenWeighter
    from bdw.weighting.selection.nearest_neighbour import NearestNeighbourWeighter
    from bdw.weighting.selection.oracle import OracleWeighter
    from bdw.weighting.selection.random_subset import RandomSubsetWeighter
    from bdw.weighting.selection.uniform import UniformWeighter
    from bdw.weighting.weighters.beta import BetaWeighter
    from bdw.weighting.weighters.counts import CountsWeighter
    from bdw.weighting.weighters.l2rw import L2RWWeighter
    from bdw.weighting.weighters.point import PointWeighter

    return {
        "beta": BetaWeighter,
        "counts": CountsWeighter,
        "given": GivenWeighter,
        "l2rw": L2RWWeighter,
        "nearest-neighbour": NearestNeighbourWeighter,
        "oracle": OracleWeighter,
        "point": PointWeighter,
        "random": RandomSubsetWeighter,
        "uniform": UniformWeighter,
    }


def available() -> tuple[str, ...]:
    """Names that the config field `weighter` accepts."""
    return tuple(sorted(_weighters()))


def learns(config: WeighterConfig) -> Learns:
    """When the weighter that the config names learns."""
    return _chosen(config).learns


def check(config: WeighterConfig) -> None:
    """`InputError` for what the config alone says cannot work."""
    chosen = _chosen(config)
    chosen.check(config)
    if not config.weighted_loss and chosen.learns is Learns.BEFORE_UPDATE:
        raise InputError(
            f"weighted_loss: false cannot work with weighter {config.weighter!r}, whose weights are those of one batch "
            "and prune nothing; allowed: true"
        )
    says_nothing = config.weighter == "nearest-neighbour" or not config.prune  # None of its weights is 0.
    if not config.weighted_loss and chosen.learns is Learns.NEVER and says_nothing and config.weighter != "uniform":
        raise InputError(
            f"weighted_loss: false cannot work with {'' if config.prune else 'prune: false and '}weighter "
            f"{config.weighter!r}, whose fixed weights would then say nothing; allowed: true, or weighter 'uniform'"
        )


def build(context: WeighterContext) -> Weighter:
    """The weighter that the context's config names."""
    from bdw.weighting.weighters.equal_loss import EqualLoss
    from bdw.weighting.weighters.self_normalised import SelfNormalised

    weighter = _chosen(context.config).from_context(context)
    if not context.config.weighted_loss:
        return EqualLoss(weighter)
    return SelfNormalised(weighter) if context.config.normalise_weights else weighter


def _chosen(config: WeighterConfig) -> WeighterClass:
    weighters = _weighters()
    if config.weighter not in weighters:
        raise unknown_option("weighter", config.weighter, weighters)
    return weighters[config.weighter]
