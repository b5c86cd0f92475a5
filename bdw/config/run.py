"""All settings of a run: one section per component, and the one-level form in which files keep them.

Values live here, live objects do not. A field goes by its dotted path (`weighter.cdf_threshold`) or by its name, which
is unique over all sections: in `replace`, in sweeps and on the command line. The text below a field is its help.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from bdw.config.budget import BudgetConfig
from bdw.config.checks import require
from bdw.config.data import DataConfig
from bdw.config.drawing import DrawingConfig
from bdw.config.encoder import EncoderConfig
from bdw.config.evaluation import EvaluationConfig
from bdw.config.fields import Field, coerced, fields_of, resolved
from bdw.config.gradient import GradientConfig
from bdw.config.hardware import HardwareConfig
from bdw.config.meta import MetaConfig
from bdw.config.optimiser import OptimiserConfig
from bdw.config.output import OutputConfig
from bdw.config.preset_registry import starting_point
from bdw.config.pretext import PretextConfig, options_of
from bdw.config.removed import of_today
from bdw.config.schedule import ScheduleConfig
from bdw.config.selector import SelectorConfig, selector_options_of
from bdw.config.weighter import WeighterConfig

OPTIONS = {"pretext": "options", "selector": "selector_options"}
"""Sections of something that has options of its own -> the field that holds them."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that a run depends on."""

    data: DataConfig = field(default_factory=DataConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    pretext: PretextConfig = field(default_factory=PretextConfig)
    selector: SelectorConfig = field(default_factory=SelectorConfig)
    weighter: WeighterConfig = field(default_factory=WeighterConfig)
    gradient: GradientConfig = field(default_factory=GradientConfig)
    meta: MetaConfig = field(default_factory=MetaConfig)
    drawing: DrawingConfig = field(default_factory=DrawingConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    output: OutputConfig = field(default_factory=OutputConfig)

    def __post_init__(self) -> None:
        images, batch_size = self.budget.budget_images, self.optimiser.batch_size
        require(
            images is None or images >= batch_size,
            "budget_images",
            images,
            f"at least one batch, batch_size = {batch_size} images, or none",
        )
        drawn = self.drawing.draw_every
        require(
            drawn is None or drawn >= batch_size,
            "draw_every",
            drawn,
            f"at least one batch, batch_size = {batch_size} images, or none",
        )

    def flat(self) -> dict[str, Any]:
        """All fields by their unique names, JSON types only; options of the pretext task as `pretext.<option>`, of the
        selector as `selector.<option>`."""
        values: dict[str, Any] = {}
        for key, known in self.fields().items():
            owner = getattr(self, known.section)
            value = operator.attrgetter(known.name)(
                getattr(owner, OPTIONS[known.section]) if known.is_option else owner
            )
            values[key] = list(value) if isinstance(value, tuple) else value
        return values

    def fields(self) -> dict[str, Field]:
        """Every field of this run, the options of its pretext task and of its selector among them, by its key in the
        flat form."""
        return run_fields(self.pretext.pretext, self.selector.selector)

    @classmethod
    def from_flat(cls, values: Mapping[str, Any]) -> RunConfig:
        """The config of `bdw fit` with these values, names or dotted paths: what is not given is as in the preset.

        `preset` may be among them; by default it is the one that suits the source.
        Raises `InputError` for unknown names and wrong types.
        """
        config: RunConfig
        config, rest = starting_point(values)
        return config.replace(**rest)

    @classmethod
    def from_earlier(cls, values: Mapping[str, Any]) -> Self:
        """The config of a run that may be older than this version; a field that it lacks has its default.

        Raises `InputError` if the run used an option that is gone; see `of_today`.
        """
        return cls().replace(**of_today(values))

    def replace(self, **values: Any) -> Self:
        """A copy with these fields (names or dotted paths) changed and everything checked again.

        With another `pretext` or `selector`, the options of the new one have their defaults unless they are given. A
        size of the meta-batch that is given does not shrink any more, unless `may_shrink` is given, too.
        """
        task = values.get("pretext", values.get("pretext.pretext", self.pretext.pretext))
        selector = values.get("selector", values.get("selector.selector", self.selector.selector))
        known = run_fields(*(name if isinstance(name, str) else "" for name in (task, selector)))
        changed: dict[str, dict[str, Any]] = {}
        options: dict[str, dict[str, Any]] = {section: {} for section in OPTIONS}
        for name, value in values.items():
            found = resolved(name, known)
            own = options[found.section] if found.is_option else changed.setdefault(found.section, {})
            own[found.name] = coerced(found.key, value, found.type)
        own = changed.get("meta", {})
        if own:
            own.setdefault("may_shrink", self.meta.without_shrinking(own).may_shrink)
        data = self.data.with_fields(changed.pop("data", {}))
        sections = {s: dataclasses.replace(getattr(self, s), **own) for s, own in changed.items() if s not in OPTIONS}
        pretext = self.pretext.with_options(changed.get("pretext", {}).get("pretext"), options["pretext"])
        chosen = self.selector.with_options(changed.get("selector", {}), options["selector"])
        return dataclasses.replace(self, data=data, pretext=pretext, selector=chosen, **sections)


@functools.cache
def sections() -> Mapping[str, type]:
    """The sections of a run's config: name -> dataclass."""
    return typing.get_type_hints(RunConfig)


def run_fields(task: str = "rotation", selector: str | None = None) -> dict[str, Field]:
    """Every field of a run with that pretext task and that selector by its key in the flat form."""
    return {known.key: known for known in _run_fields(options_of(task), selector_options_of(selector))}


@functools.cache
def _run_fields(*options: type) -> tuple[Field, ...]:
    """With the options of the sections of `OPTIONS`, in their order, in the place of the fields that hold them."""
    found = [known for section, cls in sections().items() for known in fields_of(section, cls)]
    for (section, name), own in zip(OPTIONS.items(), options, strict=True):
        place = next(i for i, known in enumerate(found) if known.name == name)
        found[place : place + 1] = fields_of(section, own, are_options=True)
    return tuple(found)
