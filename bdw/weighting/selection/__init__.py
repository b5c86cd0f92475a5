"""Selectors, which give weights before training. One file and one line in `_selectors` each."""

from __future__ import annotations

from bdw.config import WeighterConfig
from bdw.errors import InputError
from bdw.weighting.selection.protocol import Acts, Selector


def _selectors() -> dict[str, type[Selector]]:
    from bdw.weighting.selection.from_file import FromFile
    from bdw.weighting.selection.nearest_neighbour import NearestNeighbour
    from bdw.weighting.selection.oracle import Oracle
    from bdw.weighting.selection.random_subset import RandomSubset
    from bdw.weighting.selection.uniform import Uniform

    return {
        "given": FromFile,
        "nearest-neighbour": NearestNeighbour,
        "oracle": Oracle,
        "random": RandomSubset,
        "uniform": Uniform,
    }


def available() -> tuple[str, ...]:
    """Names of selectors, which the config field `weighter` accepts beside those of weighters."""
    return tuple(sorted(_selectors()))


def build(config: WeighterConfig) -> Selector:
    """The selector that the config names; `InputError` if the config alone says that it cannot work."""
    selector = _selectors()[config.weighter].from_config(config)
    left = (Acts.IN_LOSS if config.weighted_loss else Acts(0)) | (Acts.BY_PRUNING if config.prune else Acts(0))
    if selector.acts and not selector.acts & left:
        raise InputError(
            f"weighted_loss: false cannot work with {'' if config.prune else 'prune: false and '}weighter "
            f"{config.weighter!r}, whose fixed weights would then say nothing; allowed: true, or weighter 'uniform'"
        )
    return selector
