"""Several pretext tasks at once (Doersch and Zisserman, "Multi-task self-supervised visual learning", ICCV 2017): one
encoder, a head for each task, and the sum of their losses."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bdw.config.pretext import options_of
from bdw.config.pretext_options.multitask import NAME, MultitaskOptions
from bdw.encoders import Encoder
from bdw.parallel import collectives
from bdw.pretext.base import BatchLoss, Crop, Encodes, Images, Outputs, PretextTask, Views
from bdw.pretext.task_rows import TaskRows, by_instance, mean_features, mean_hits, rows_of_tasks


class Multitask(PretextTask):
    """Every task makes its own views of an instance, from one crop where it takes the run's, and has its own head. L is
    the sum over the tasks of their weight times their L. An instance's views are those of all tasks, one task after the
    other.

    The encoder sees the views of one task at a time, since they may differ in size; batch norm normalises them by task.

    Once it was told for which tasks an instance is kept (`keep`), an instance of the source has views for these alone.
    A task takes part in a step if every worker has an instance for it, and the step two where the task's instances
    interact. Another task is left out of the step, and its parameters have the gradient 0. L_t stays (1/k) times a sum
    over the instances of task t, k being all instances of the step: an instance that is pruned for a task is one of
    weight 0 there.
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
            "task_names": tuple(classes),
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
        self._inputs, self._z, self._given, self._features = ([0] * len(tasks) for _ in range(4))
        self._kept: Tensor | None = None
        """(n, tasks) on the CPU, for which tasks an instance of the source is kept; None where it is kept for all."""

    def check(self, images: Images) -> None:
        """`InputError` if one of the tasks cannot work with such images."""
        for part in self._tasks():
            part.check(images)

    def keep(self, kept: Tensor) -> None:
        """Tell every task, with (n, tasks) every one its column; a task that no instance is kept for hears nothing."""
        self._kept = kept.clone() if kept.dim() == 2 else None
        columns = kept.unbind(dim=1) if kept.dim() == 2 else (kept,) * len(self.parts)
        for part, own in zip(self._tasks(), columns, strict=True):
            if kept.dim() == 1 or bool(own.any()):
                part.keep(own)

    def begin(self, encoder: nn.Module) -> None:
        """Tell every task."""
        for part in self._tasks():
            part.begin(encoder)

    def views(self, images: Tensor, crop: Crop, generator: torch.Generator) -> Views:
        """Inputs of all tasks, one after the other; the crops are drawn once, for all of them."""
        crops = crop(images)
        return Views(crops, self._drawn(images, crops, rows_of_tasks(None, len(self.parts), len(images)), generator))

    def views_of_source(self, images: Tensor, instances: Tensor, crop: Crop, generator: torch.Generator) -> Views:
        """Inputs of the tasks that take part, each of the instances that are kept for it."""
        if self._kept is None:
            return super().views_of_source(images, instances, crop, generator)
        crops, kept = crop(images), self._taking_part(self._kept[instances])
        shares = rows_of_tasks(kept, len(self.parts), len(images))
        return Views(crops, self._drawn(images, crops, shares, generator), instances, kept)

    def forward(self, encoder: Encodes, views: Views) -> Outputs:
        """Z and constants of all tasks, one after the other. Hits (k,): the mean over the tasks that know them.

        Where no task takes part, Z are the encoder's features.
        """
        count, tasks = len(views.images), self._tasks()
        shares = rows_of_tasks(views.kept, len(tasks), count)
        if not shares:
            features = encoder(views.images)
            return Outputs((features,), (), features.detach(), None, (features.detach(),), views.kept)
        found = []
        for share, inputs in zip(shares, _split(views.inputs, self._inputs, shares), strict=True):
            found.append(tasks[share.task](encoder, share.of_views(views, inputs)))
            self._z[share.task], self._given[share.task] = len(found[-1].z), len(found[-1].given)
            self._features[share.task] = len(found[-1].features) // share.count
        if views.kept is None:
            of_each = [each.features.unflatten(0, (count, -1)) for each in found]
            known = [each.hits for each in found if each.hits is not None]
            features, hits = torch.cat(of_each, dim=1).flatten(0, 1), torch.stack(known).mean(dim=0) if known else None
        else:
            features, hits = mean_features(found, shares, count), mean_hits(found, shares, count)
        return Outputs(
            tuple(itertools.chain.from_iterable(each.z for each in found)),
            tuple(itertools.chain.from_iterable(each.given for each in found)),
            features,
            hits,
            tuple(itertools.chain.from_iterable(each.inner or (each.features,) for each in found)),
            views.kept,
        )

    def task_losses(self, outputs: Outputs) -> Tensor:
        """(k, tasks) unweighted loss of every instance in every task, 0 where it has no views."""
        parts = self._outputs(outputs)
        return self._by_instance([self._tasks()[share.task].losses(own) for share, own in parts], outputs)

    def losses(self, outputs: Outputs) -> Tensor:
        """(k,) sum over the tasks of the task's weight times the instance's loss."""
        losses = self.task_losses(outputs)
        return losses @ losses.new_tensor(self.task_weights)

    def losses_by_task(self, outputs: Outputs) -> Tensor:
        """(k, tasks) the task's weight times the instance's loss, 0 where it has no views."""
        losses = self.task_losses(outputs)
        return losses * losses.new_tensor(self.task_weights)

    def loss(self, outputs: Outputs, weights: Tensor, instances: int) -> BatchLoss:
        """The sum over the tasks of the task's weight times its L. `weights`: (m,), or (m, tasks) with a column for
        every task."""
        columns = weights.unbind(dim=1) if weights.dim() == 2 else (weights,) * len(self.task_weights)
        parts, counts = list(self._outputs(outputs)), self._counts(outputs, instances)
        found = []
        for share, own in parts:
            task, count = self._tasks()[share.task], counts[share.task]
            one = task.loss(own, share.of(columns[share.task]), count)
            found.append(one if count == instances else one._replace(total=one.total * (count / instances)))
        losses = self._by_instance([each.losses for each in found], outputs)
        factors = losses.new_tensor(self.task_weights)
        total = self._nothing([share.task for share, _ in parts], outputs)
        if found:
            took_part = factors[[share.task for share, _ in parts]] @ torch.stack([each.total for each in found])
            total = took_part if total is None else took_part + total
        assert total is not None, "there are tasks, and they take part or do not"
        return BatchLoss(total, losses @ factors)

    def after_step(self, encoder: nn.Module, outputs: Outputs, progress: float) -> None:
        """Every task that took part moves what it has."""
        for share, own in self._outputs(outputs):
            self._tasks()[share.task].after_step(encoder, own, progress)

    def begin_epoch(self, encoder: Encoder, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Every task that two instances are kept for prepares. Where several look at the images, they are held in
        memory from the first to the last."""
        looks = [
            (number, part)
            for number, part in enumerate(self._tasks())
            if type(part).begin_epoch is not PretextTask.begin_epoch
            and (self._kept is None or int(self._kept[:, number].sum()) > 1)
        ]
        for (number, part), own in zip(looks, itertools.tee(batches, len(looks)), strict=True):
            part.begin_epoch(encoder, own if self._kept is None else _kept_of(own, self._kept[:, number]))

    def _tasks(self) -> list[PretextTask]:
        return list(self.parts.values())  # type: ignore[arg-type]

    def _drawn(
        self, images: Tensor, crops: Tensor, shares: Sequence[TaskRows], generator: torch.Generator
    ) -> tuple[Tensor, ...]:
        """Inputs of these tasks, one after the other."""
        inputs: list[Tensor] = []
        for share in shares:
            own = functools.partial(_already_cropped, share.of(crops))
            drawn = self._tasks()[share.task].views(share.of(images), own, generator).inputs
            self._inputs[share.task] = len(drawn)
            inputs += drawn
        return tuple(inputs)

    def _taking_part(self, kept: Tensor) -> Tensor:
        """(m, tasks) `kept` without the tasks that are left out of the step; every worker calls it."""
        counts = kept.sum(dim=0)
        of_all, without = collectives.total(torch.stack([counts, (counts == 0).to(counts)]))
        least = torch.tensor([2 if part.instances_interact else 1 for part in self._tasks()])
        taking_part: Tensor = kept & (of_all >= least) & (without == 0)
        return taking_part

    def _counts(self, outputs: Outputs, instances: int) -> list[int]:
        """What each task's L is a mean over: all k instances; where it is no mean of losses, the task's own ones, by
        whose share of k it counts."""
        if outputs.kept is None or self.loss_is_mean:
            return [instances] * len(self.parts)
        own = collectives.total(outputs.kept.sum(dim=0)).tolist()
        return [instances if part.loss_is_mean else count for part, count in zip(self._tasks(), own, strict=True)]

    def _outputs(self, outputs: Outputs) -> Iterator[tuple[TaskRows, Outputs]]:
        """Of every task that instances have views for."""
        count = len(outputs.features) // sum(self._features) if outputs.kept is None else len(outputs.kept)
        shares = rows_of_tasks(outputs.kept, len(self.parts), count)
        z, given = _split(outputs.z, self._z, shares), _split(outputs.given, self._given, shares)
        if outputs.kept is None:
            of_each = outputs.features.unflatten(0, (count, -1)).split(self._features, dim=1)
            features = [rows.flatten(0, 1) for rows in of_each]
        else:
            features = [share.of(outputs.features) for share in shares]
        for share, own_z, own_given, own_features in zip(shares, z, given, features, strict=True):
            yield share, Outputs(tuple(own_z), tuple(own_given), own_features, None)

    def _by_instance(self, losses: Sequence[Tensor], outputs: Outputs) -> Tensor:
        """(k, tasks) from the losses of each task that instances have views for."""
        if outputs.kept is None:
            return torch.stack(list(losses), dim=1)
        count, like = len(outputs.kept), losses[0] if losses else outputs.z[0]
        return by_instance(losses, rows_of_tasks(outputs.kept, len(self.parts), count), len(self.parts), like, count)

    def _nothing(self, took_part: Sequence[int], outputs: Outputs) -> Tensor | None:
        """0, whose gradient is 0 for the parameters of the tasks that are left out, and for the encoder's where all
        are: workers who average gradients need one of each. None if every task took part."""
        left_out = [part for number, part in enumerate(self._tasks()) if number not in took_part]
        sums = [value.sum() for part in left_out for value in part.parameters() if value.requires_grad]
        sums += [] if took_part else [outputs.z[0].sum()]
        return 0 * torch.stack(sums).sum() if sums else None


def _already_cropped(crops: Tensor, images: Tensor) -> Tensor:
    del images
    return crops


def _split(tensors: Sequence[Tensor], counts: Sequence[int], shares: Sequence[TaskRows]) -> Iterator[Sequence[Tensor]]:
    """What belongs to each share, of which its task has so many."""
    mine = [counts[share.task] for share in shares]
    return (tensors[end - count : end] for end, count in zip(itertools.accumulate(mine), mine, strict=True))


def _kept_of(batches: Iterable[tuple[Tensor, Tensor]], kept: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches without the instances that are not kept (n,)."""
    for indices, images in batches:
        mine = kept[indices]
        if bool(mine.any()):
            yield indices[mine], images[mine.to(images.device)]
