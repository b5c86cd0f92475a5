"""Which images are chosen before training: the name of a selector, how many it chooses, and its own options.

Every selector has options of its own, as every pretext task has: a frozen, keyword-only dataclass with a default for
each field. They are addressed as `selector.<field>`. Those of a plug-in are read off its class.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from bdw import plugins
from bdw.config.checks import require, require_at_least
from bdw.config.fields import Basic
from bdw.config.selector_options import (
    FeatureOptions,
    GivenOptions,
    HierarchicalOptions,
    NeuralDataServerOptions,
    NoSelectorOptions,
    PrototypeOptions,
    SimCoreOptions,
)
from bdw.errors import InputError

PLUG_INS: plugins.Group = "bdw.selectors"
_OPTIONS: dict[str, type] = {
    "given": GivenOptions,
    "hierarchical": HierarchicalOptions,
    "importance": FeatureOptions,
    "nearest-neighbour": FeatureOptions,
    "neural-data-server": NeuralDataServerOptions,
    "prototypes": PrototypeOptions,
    "simcore": SimCoreOptions,
}
_WITHOUT_OPTIONS = frozenset({"random"})
"""Built-in selectors of which no plug-in needs to be asked."""


def selector_names() -> tuple[str, ...]:
    """Names of the built-in selectors and of plug-ins, sorted; nothing is imported."""
    return tuple(sorted({*_OPTIONS, *_WITHOUT_OPTIONS, *plugins.names(PLUG_INS)}))


def selector_options_of(selector: str | None) -> type:
    """The dataclass of that selector's options. Raises `InputError` for a plug-in that cannot be imported."""
    is_built_in = selector in _OPTIONS or selector in _WITHOUT_OPTIONS
    if selector is not None and not is_built_in and selector in plugins.names(PLUG_INS):
        options = getattr(plugins.load(PLUG_INS, selector, "selector"), "Options", NoSelectorOptions)
        if not (isinstance(options, type) and dataclasses.is_dataclass(options)):
            raise plugins.refused(PLUG_INS, selector, "selector", "a selector whose Options are a dataclass")
        return options
    return _OPTIONS.get(selector or "", NoSelectorOptions)


@dataclass(frozen=True, kw_only=True)
class SelectorConfig:
    """Which images are chosen before training; the others are pruned before the first epoch."""

    selector: Basic[str | None] = None
    """Choose images before training, which the weighter then trains on (plain training with `--weighter uniform`):
    `random`, `nearest-neighbour`, `simcore`, `prototypes`, `hierarchical`, `importance`, `neural-data-server`, or
    `given` by a file. docs/selectors.md has all. Default: train on all."""
    selected_share: Basic[float | None] = None
    """Share of the source that the selector chooses."""
    selected_count: int | None = None
    """Or the number of images."""
    selector_options: Any = None
    """The selector's own options; None becomes its defaults."""

    def __post_init__(self) -> None:
        share, count = self.selected_share, self.selected_count
        require(share is None or 0 < share <= 1, "selected_share", share, "above 0, at most 1, or none")
        require_at_least("selected_count", count, 1, "at least 1, or none")
        if share is not None and count is not None:
            raise InputError(
                f"selected_share, selected_count: {share} and {count} are both given; allowed: one of them"
            )
        if self.selector is None and (share, count) != (None, None):
            name, value = ("selected_share", share) if count is None else ("selected_count", count)
            raise InputError(f"{name}: {value} cannot work without a selector; allowed: none, or a selector")
        wanted = selector_options_of(self.selector)
        if self.selector_options is None:
            object.__setattr__(self, "selector_options", wanted())
        elif type(self.selector_options) is not wanted:
            raise InputError(
                f"selector.selector_options: {self.selector_options!r} are not of {self.selector!r}; allowed: "
                f"{wanted.__name__}"
            )

    def with_options(self, values: dict[str, Any], options: dict[str, Any]) -> SelectorConfig:
        """A copy with these fields and these of the selector's options changed.

        What is not given keeps its value where the selector stays. Where it changes, an option has its default, and
        without a selector there is no size either.
        """
        selector = values.get("selector", self.selector)
        stays = selector == self.selector
        before = self.selector_options if stays else selector_options_of(selector)()
        sizes = {"selected_share": self.selected_share, "selected_count": self.selected_count}
        if selector is None or sizes.keys() & values.keys():
            sizes = dict.fromkeys(sizes)  # A size that is given takes the place of the other one.
        return SelectorConfig(
            **{**sizes, **values, "selector": selector, "selector_options": dataclasses.replace(before, **options)}
        )
