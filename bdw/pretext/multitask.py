"""Several pretext tasks at once (Doersch and Zisserman, "Multi-task self-supervised visual learning", ICCV 2017): one
encoder, a head for each task, and the sum of their losses."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bdw.config.pretext import options_of
from bdw.config.pretext_options.multitask import NAME, MultitaskOptions
from bdw.encoders import Encoder
from bdw.pretext.base import BatchLoss, Crop, Encodes, Images, Outputs, PretextTask, Views


class Multitask(PretextTask):
    """Every task makes its own views of an instance, from one crop where it takes the run's, and has its own head. L is
    the sum over the tasks of their weight times their L. An instance's views are those of all tasks, one task after the
    other.

    The encoder sees the views of one task at a time, since they may differ in size; batch norm normalises them by task.
    """

    Options = MultitaskOptions
    classes: ClassVar[dict[str, type[PretextTask]]]
    """The tasks by name; of a subclass that `for_options` made."""

    @classmethod
    def for_options(cls, options: Any, task_class: Callable[[str, Any], type[PretextTask]]) -> type[PretextTask]:
        """A subclass for the tasks in the options. Instances interact where they do in one task; L is a weighted mean
        where all tasks have one."""
        options = options_of(NAME)() if options is None else options
        classes = {name: task_class(name, options.of(name)) for name in options.tasks}
        said = {
            "Options": type(options),
            "classes": classes,
            "num_views": sum(each.num_views for each in classes.values()),
            "instances_interact": any(each.instances_interact for each in classes.values()),
            "loss_is_mean": all(each.loss_is_mean for each in classes.values()),
        }
        return type(cls.__name__, (cls,), {"__doc__": cls.__doc__, "__module__": cls.__module__, **said})

    def __init__(self, encoder: Encoder, options: MultitaskOptions | None = None):
        super().__init__(encoder, options)
        tasks = {name: cls(encoder, self.options.of(name)) for name, cls in self.classes.items()}
        self.parts = nn.ModuleDict(tasks)
        self.task_weights: tuple[float, ...] = self.options.task_weights or (1.0,) * len(tasks)
        # How many inputs, parts of Z, constants and features of an instance each task has; known once it has made some.
        self._inputs: list[int] = []
        self._z: list[int] = []
        self._given: list[int] = []
        self._features: list[int] = []

    def check(self, images: Images) -> None:
        """`InputError` if one of the tasks cannot work with such images."""
        for part in self._tasks():
            part.check(images)

    def keep(self, kept: Tensor) -> None:
        """Tell every task."""
        for part in self._tasks():
            part.keep(kept)

    def begin(self, encoder: nn.Module) -> None:
        """Tell every task."""
        for part in self._tasks():
            part.begin(encoder)

    def views(self, images: Tensor, crop: Crop, generator: torch.Generator) -> Views:
        """Inputs of all tasks, one after the other; the crops are drawn once, for all of them."""
        crops = crop(images)
        drawn = [part.views(images, lambda _: crops, generator) for part in self._tasks()]
        self._inputs = [len(views.inputs) for views in drawn]
        return Views(crops, tuple(itertools.chain.from_iterable(views.inputs for views in drawn)))

    def forward(self, encoder: Encodes, views: Views) -> Outputs:
        """Z and constants of all tasks, one after the other. Hits (k,): the mean over the tasks that know them."""
        count, found = len(views.images), []
        for part, own in zip(self._tasks(), _split(views.inputs, self._inputs), strict=True):
            found.append(part(encoder, views._replace(inputs=tuple(own))))
        self._z, self._given = [len(each.z) for each in found], [len(each.given) for each in found]
        self._features = [len(each.features) // count for each in found]
        hits = [each.hits for each in found if each.hits is not None]
        return Outputs(
            tuple(itertools.chain.from_iterable(each.z for each in found)),
            tuple(itertools.chain.from_iterable(each.given for each in found)),
            torch.cat([each.features.unflatten(0, (count, -1)) for each in found], dim=1).flatten(0, 1),
            torch.stack(hits).mean(dim=0) if hits else None,
            tuple(itertools.chain.from_iterable(each.inner or (each.features,) for each in found)),
        )

    def task_losses(self, outputs: Outputs) -> Tensor:
        """(k, tasks) unweighted loss of every instance in every task."""
        parts = zip(self._tasks(), self._outputs(outputs), strict=True)
        return torch.stack([part.losses(own) for part, own in parts], dim=1)

    def losses(self, outputs: Outputs) -> Tensor:
        """(k,) sum over the tasks of the task's weight times the instance's loss."""
        losses = self.task_losses(outputs)
        return losses @ losses.new_tensor(self.task_weights)

    def loss(self, outputs: Outputs, weights: Tensor, instances: int) -> BatchLoss:
        """The sum over the tasks of the task's weight times its L. `weights`: (m,), or (m, tasks) with a column for
        every task."""
        columns = weights.unbind(dim=1) if weights.dim() == 2 else (weights,) * len(self.task_weights)
        found = [
            part.loss(own, column, instances)
            for part, own, column in zip(self._tasks(), self._outputs(outputs), columns, strict=True)
        ]
        total = torch.stack([each.total for each in found])
        losses = torch.stack([each.losses for each in found], dim=1)
        factors = losses.new_tensor(self.task_weights)
        return BatchLoss(factors @ total, losses @ factors)

    def after_step(self, encoder: nn.Module, outputs: Outputs, progress: float) -> None:
        """Every task moves what it has."""
        for part, own in zip(self._tasks(), self._outputs(outputs), strict=True):
            part.after_step(encoder, own, progress)

    def begin_epoch(self, encoder: Encoder, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Every task prepares. Where several look at the images, they are held in memory from the first to the last."""
        looks = [part for part in self._tasks() if type(part).begin_epoch is not PretextTask.begin_epoch]
        for part, own in zip(looks, itertools.tee(batches, len(looks)), strict=True):
            part.begin_epoch(encoder, own)

    def _tasks(self) -> list[PretextTask]:
        return list(self.parts.values())  # type: ignore[arg-type]

    def _outputs(self, outputs: Outputs) -> Iterator[Outputs]:
        """Of every task."""
        features = outputs.features.unflatten(0, (-1, sum(self._features))).split(self._features, dim=1)
        z, given = _split(outputs.z, self._z), _split(outputs.given, self._given)
        for own_z, own_given, own_features in zip(z, given, features, strict=True):
            yield Outputs(tuple(own_z), tuple(own_given), own_features.flatten(0, 1), None)


def _split(tensors: Sequence[Tensor], counts: Sequence[int]) -> Iterator[Sequence[Tensor]]:
    ends = itertools.accumulate(counts)
    return (tensors[end - count : end] for end, count in zip(ends, counts, strict=True))
