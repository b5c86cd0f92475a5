"""Selectors, which give weights before training. One file and one line in `_selectors` each, or an entry
point.

A selector in the place of a weighter (config field `weighter`) has its line in `_weightings`.
"""

from __future__ import annotations

import dataclasses

from bdw import plugins
from bdw.config import SelectorConfig, WeighterConfig
from bdw.config.selector import PLUG_INS
from bdw.data import Problem
from bdw.errors import InputError, unknown_option
from bdw.weighting.selection.cost import Meter
from bdw.weighting.selection.protocol import Acts, Choosing, FixedWeighting, Selection, Toolkit


def _selectors() -> dict[str, type[Choosing]]:
    from bdw.weighting.selection.selectors.given import Given
    from bdw.weighting.selection.selectors.hierarchical import Hierarchical
    from bdw.weighting.selection.selectors.importance import Importance
    from bdw.weighting.selection.selectors.nearest_neighbour import NearestImages
    from bdw.weighting.selection.selectors.neural_data_server import NeuralDataServer
    from bdw.weighting.selection.selectors.prototypes import Prototypes
    from bdw.weighting.selection.selectors.random_images import RandomImages
    from bdw.weighting.selection.selectors.simcore import SimCore

    return {
        "given": Given,
        "hierarchical": Hierarchical,
        "importance": Importance,
        "nearest-neighbour": NearestImages,
        "neural-data-server": NeuralDataServer,
        "prototypes": Prototypes,
        "random": RandomImages,
        "simcore": SimCore,
    }


def _weightings() -> dict[str, type[FixedWeighting]]:
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
    """Names of selectors that choose images, which the config field `selector` accepts; of plug-ins, too."""
    return tuple(sorted({*_selectors(), *plugins.names(PLUG_INS)}))


def weightings() -> tuple[str, ...]:
    """Names of selectors that the config field `weighter` accepts beside those of weighters."""
    return tuple(sorted(_weightings()))


def build(config: WeighterConfig) -> FixedWeighting:
    """The selector that the config names as its weighter; `InputError` if the config alone says that it cannot
    work."""
    selector = _weightings()[config.weighter].from_config(config)
    left = (Acts.IN_LOSS if config.weighted_loss else Acts(0)) | (Acts.BY_PRUNING if config.prune else Acts(0))
    if selector.acts and not selector.acts & left:
        raise InputError(
            f"weighted_loss: false cannot work with {'' if config.prune else 'prune: false and '}weighter "
            f"{config.weighter!r}, whose fixed weights would then say nothing; allowed: true, or weighter 'uniform'"
        )
    return selector


def chooser(config: SelectorConfig) -> Choosing:
    """The selector that the config names; `InputError` for an unknown one, and if the config alone says that it cannot
    work."""
    known = _selectors()
    found = known[config.selector] if config.selector in known else _plug_in(str(config.selector))
    return found.from_config(config)


def _plug_in(name: str) -> type[Choosing]:
    if name not in plugins.names(PLUG_INS):
        raise unknown_option("selector", name, available())
    found = plugins.load(PLUG_INS, name, "selector")
    if not (isinstance(found, type) and all(hasattr(found, part) for part in ("from_config", "weights"))):
        raise plugins.refused(PLUG_INS, name, "selector", "a class with from_config and weights")
    selector: type[Choosing] = found
    return selector


def select(config: SelectorConfig, problem: Problem, toolkit: Toolkit) -> Selection:
    """What the config's selector chooses of the problem's source, and what that cost.

    `InputError` if it cannot work with the problem, or is asked for more images than there are.
    """
    toolkit = dataclasses.replace(toolkit, meter=Meter())
    weights = chooser(config).weights(problem, toolkit)
    return Selection(weights, toolkit.meter.cost())
