"""What is learnt from unlabelled images: the name of a pretext task, and the options of that task.

Every task has options of its own: a frozen, keyword-only dataclass with a default for each field. Those of the built-in
tasks are in `pretext_options/`, where no task needs to be imported. Those of a plug-in are read off its class. Any
other task from elsewhere registers its own.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from bdw import plugins
from bdw.config.fields import Basic
from bdw.config.pretext_options.auto_encoder import AutoEncoderOptions
from bdw.config.pretext_options.barlow_twins import BarlowTwinsOptions
from bdw.config.pretext_options.byol import BYOLOptions
from bdw.config.pretext_options.colourisation import ColourisationOptions
from bdw.config.pretext_options.context_encoder import ContextEncoderOptions
from bdw.config.pretext_options.counting import CountingOptions
from bdw.config.pretext_options.cpc import CPCOptions
from bdw.config.pretext_options.deep_cluster import DeepClusterOptions
from bdw.config.pretext_options.denoising import DenoisingOptions
from bdw.config.pretext_options.dino import DINOOptions
from bdw.config.pretext_options.exemplar import ExemplarOptions
from bdw.config.pretext_options.instance_discrimination import InstanceDiscriminationOptions
from bdw.config.pretext_options.jigsaw import JigsawOptions
from bdw.config.pretext_options.mae import MaskedAutoEncoderOptions
from bdw.config.pretext_options.moco import MoCoV1Options, MoCoV2Options
from bdw.config.pretext_options.multitask import NAME as MULTITASK
from bdw.config.pretext_options.multitask import multitask_options
from bdw.config.pretext_options.relative_location import RelativeLocationOptions
from bdw.config.pretext_options.simclr import SimCLROptions
from bdw.config.pretext_options.simsiam import SimSiamOptions
from bdw.config.pretext_options.split_brain import SplitBrainOptions
from bdw.config.pretext_options.swav import SwAVOptions
from bdw.config.pretext_options.vicreg import VICRegOptions
from bdw.errors import InputError


@dataclass(frozen=True, kw_only=True)
class NoOptions:
    """A task without options: `rotation`, and every task that registers none."""


_OPTIONS: dict[str, type] = {
    "barlow_twins": BarlowTwinsOptions,
    "byol": BYOLOptions,
    "colourisation": ColourisationOptions,
    "context_encoder": ContextEncoderOptions,
    "counting": CountingOptions,
    "cpc": CPCOptions,
    "deep_cluster": DeepClusterOptions,
    "denoising": DenoisingOptions,
    "dino": DINOOptions,
    "exemplar": ExemplarOptions,
    "instance_discrimination": InstanceDiscriminationOptions,
    "jigsaw": JigsawOptions,
    "mae": MaskedAutoEncoderOptions,
    "moco_v1": MoCoV1Options,
    "moco_v2": MoCoV2Options,
    "relative_location": RelativeLocationOptions,
    "simclr": SimCLROptions,
    "simsiam": SimSiamOptions,
    "split_brain": SplitBrainOptions,
    "swav": SwAVOptions,
    "vae": AutoEncoderOptions,
    "vicreg": VICRegOptions,
}


PLUG_INS: plugins.Group = "bdw.pretext"
_WITHOUT_OPTIONS = frozenset({"rotation"})
"""Built-in tasks of which no plug-in needs to be asked."""


def register_options(task: str, options: type) -> None:
    """Let the pretext task of that name have these options, addressed as `pretext.<field>`, and as
    `pretext.<task>.<field>` where it is a part of `multitask`."""
    _OPTIONS[task] = options
    _renew_multitask()


def _renew_multitask() -> None:
    parts = {name: options for name, options in _OPTIONS.items() if name != MULTITASK}
    _OPTIONS[MULTITASK] = multitask_options(parts, __name__)


_renew_multitask()


def __getattr__(name: str) -> Any:
    """`MultitaskOptions` as it is now, by which pickles of a config find it."""
    if name == _OPTIONS[MULTITASK].__name__:
        return _OPTIONS[MULTITASK]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def task_names() -> tuple[str, ...]:
    """Names of the built-in tasks, of plug-ins, and of others that registered options, sorted; nothing is imported."""
    return tuple(sorted({*_OPTIONS, *_WITHOUT_OPTIONS, *plugins.names(PLUG_INS)}))


def options_of(task: str) -> type:
    """The dataclass of that task's options. Raises `InputError` for a plug-in that cannot be imported."""
    if task not in _OPTIONS and task not in _WITHOUT_OPTIONS and task in plugins.names(PLUG_INS):
        options = getattr(plugins.load(PLUG_INS, task, "pretext"), "Options", NoOptions)
        if not (isinstance(options, type) and dataclasses.is_dataclass(options)):
            raise plugins.refused(PLUG_INS, task, "pretext", "a pretext task whose Options are a dataclass")
        if options is not NoOptions:
            register_options(task, options)
    return _OPTIONS.get(task, NoOptions)


@dataclass(frozen=True, kw_only=True)
class PretextConfig:
    """What is learnt from unlabelled images."""

    pretext: Basic[str] = "rotation"
    """Pretext task, such as `rotation`, `simclr` or `vae`; docs/pretext-tasks.md has all."""
    options: Any = None
    """The task's own options; None becomes the task's defaults."""

    def __post_init__(self) -> None:
        wanted = options_of(self.pretext)
        if self.options is None:
            object.__setattr__(self, "options", wanted())
        elif type(self.options) is not wanted:
            raise InputError(
                f"pretext.options: {self.options!r} are not of {self.pretext!r}; allowed: {wanted.__name__}"
            )

    def with_options(self, pretext: str | None, options: dict[str, Any]) -> PretextConfig:
        """A copy with another task, if one is given, and these of its options changed.

        What is not given keeps its value where the task stays, and has the task's default where it changes.
        """
        task = self.pretext if pretext is None else pretext
        before = self.options if task == self.pretext else options_of(task)()
        return PretextConfig(pretext=task, options=_changed(before, options))


def _changed(options: Any, values: dict[str, Any]) -> Any:
    """A copy with these options changed; those of a part are `<part>.<option>`."""
    own = {name: value for name, value in values.items() if "." not in name}
    for part in sorted({name.partition(".")[0] for name in values} - own.keys()):
        of_part = {name.partition(".")[2]: value for name, value in values.items() if name.startswith(f"{part}.")}
        own[part] = _changed(getattr(options, part), of_part)
    return dataclasses.replace(options, **own)
