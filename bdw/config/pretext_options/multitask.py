"""Options of `multitask`: which tasks, how much each counts, and the options of each."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bdw.config.checks import require

NAME = "multitask"


@dataclass(frozen=True, kw_only=True)
class MultitaskOptions:
    """Of `multitask` (Doersch and Zisserman 2017). Options of a part are addressed as `pretext.<part>.<option>`.

    The class that a config has is made by `multitask_options`, with a field for every task that has options.
    """

    tasks: tuple[str, ...] = ("relative_location", "exemplar")
    """Pretext tasks that are learnt at once; by default two of the paper's."""
    task_weights: tuple[float, ...] = ()
    """What the loss of each is multiplied by, in the order of `tasks`; none for 1 each, as in the paper."""

    def __post_init__(self) -> None:
        tasks, weights = self.tasks, self.task_weights
        allowed = f"at least one task, each once, and none of them {NAME!r}"
        require(0 < len(set(tasks)) == len(tasks) and NAME not in tasks, "pretext.tasks", list(tasks), allowed)
        require(
            not weights or (len(weights) == len(tasks) and all(math.isfinite(w) and w > 0 for w in weights)),
            "pretext.task_weights",
            list(weights),
            f"none, or a number above 0 for each of the {len(tasks)} tasks",
        )
        for field in dataclasses.fields(self):
            if dataclasses.is_dataclass(getattr(self, field.name)) and field.name not in tasks:
                self._require_untouched(field.name)

    def of(self, task: str) -> Any:
        """The options of a part; None for a task that has none."""
        return getattr(self, task, None)

    def _require_untouched(self, task: str) -> None:
        given, usual = self.of(task), type(self.of(task))()
        for option in dataclasses.fields(given):
            value = getattr(given, option.name)
            allowed = f"options of pretext.tasks, {', '.join(self.tasks)}"
            require(value == getattr(usual, option.name), f"pretext.{task}.{option.name}", value, allowed)


def multitask_options(parts: Mapping[str, type], module: str) -> type:
    """A subclass of `MultitaskOptions` with a field for each of these tasks, whose options have that class.

    It can be pickled once it is `MultitaskOptions` in that module.
    """
    fields = [(name, cls, dataclasses.field(default_factory=cls)) for name, cls in sorted(parts.items())]
    made = dataclasses.make_dataclass(
        MultitaskOptions.__name__, fields, bases=(MultitaskOptions,), frozen=True, kw_only=True,
        namespace={"__doc__": MultitaskOptions.__doc__},
    )  # fmt: skip
    made.__module__ = module
    return made
