"""What a pretext task is, and the model that encoder and task are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from bdw.config.pretext import NoOptions
from bdw.encoders import Encoder
from bdw.errors import InputError
from bdw.parallel import collectives

Crop = Callable[[Tensor], Tensor]
"""Stored images (k, c, h, w), uint8 -> crops (k, c, s, s), float in [-1, 1]. Each call may draw other crops."""


class Encodes(Protocol):
    """What a task may ask of an encoder; `bdw.encoders.Encoder` says what comes back."""

    def __call__(self, images: Tensor, /) -> Tensor:
        """Features (n, d)."""

    def feature_map(self, images: Tensor, /) -> Tensor:
        """The map before pooling, (n, d, h, w)."""

    def tokens(self, images: Tensor, keep: Tensor | None = None, /) -> Tensor:
        """A row for every patch kept, (n, p, d)."""


class Images(NamedTuple):
    """What is known of a run's stored images before anything is computed."""

    channels: int
    height: int
    """In pixels."""
    width: int
    """In pixels."""


class Views(NamedTuple):
    """What a task sees of a batch of k instances."""

    images: Tensor
    """(k, c, s, s) one crop of each instance, by whose colours it is described."""
    inputs: tuple[Tensor, ...]
    """What `PretextTask.forward` takes. The views of an instance are consecutive rows."""
    instances: Tensor | None = None
    """(k,) the instances' numbers in the source, on the CPU; none for images that are not of the source."""
    kept: Tensor | None = None
    """(k, tasks) bool on the CPU, for which of several tasks an instance has views; None where it has them for all."""


class Outputs(NamedTuple):
    """What the model makes of the views of k instances."""

    z: tuple[Tensor, ...]
    """Z: all that the loss takes from the parameters."""
    given: tuple[Tensor, ...]
    """Constants that the loss needs beside Z (labels, pixels)."""
    features: Tensor
    """(k * views, d) the encoder's features of the views, without gradient; an instance's views are consecutive."""
    hits: Tensor | None
    """(k,) share of its views solved, without gradient; none where a task knows no right and wrong."""
    inner: tuple[Tensor, ...] = ()
    """What the encoder answered where a head takes maps or tokens of it: (k * views, ...) each, without gradient, in
    the order in which it was asked; empty where heads take the features."""
    kept: Tensor | None = None
    """That of the views. Where it is not None, Z has the rows of an instance for its own tasks alone, and `features`
    (k, d) are means over an instance's views."""


class BatchLoss(NamedTuple):
    """The loss of a batch."""

    total: Tensor
    """L(Z, w), a scalar. Across workers: the mean of their totals is L."""
    losses: Tensor
    """(k,) `PretextTask.losses`."""


class PretextTask(nn.Module, ABC):
    """Makes views of images, and says what the batch costs.

    A task owns its head; a teacher, a queue or a centre are its submodules and buffers too, so that checkpoints hold
    them. They stay constant within a step: the training pass and the tangent pass see the same ones. A task's own
    buffers are the same on all workers, since each moves them by the rows of all (`gathered`).
    """

    Options: ClassVar[type[Any]] = NoOptions
    """Frozen dataclass of what a user may set."""
    num_views: ClassVar[int]
    """Views of an instance."""
    instances_interact: ClassVar[bool] = False
    """Whether the loss of one instance may depend on another instance, apart from batch norm."""
    loss_is_mean: ClassVar[bool] = True
    """Whether L = (1/k) sum_i w_i l_i(Z), where l_i may depend on all of Z but not on w."""
    task_names: ClassVar[tuple[str, ...]] = ()
    """Of the tasks that it is the sum of, each of which may have weights of its own; empty for one task."""
    views_are_separate: ClassVar[bool] = False
    """Whether the expected loss of an instance stays the same on some of its views (`some_views`)."""

    def __init__(self, encoder: Encoder, options: Any = None):
        """Parameters are drawn from torch's global generator, for this encoder's features and images."""
        super().__init__()
        self.options = self.Options() if options is None else options

    @classmethod
    def for_options(cls, options: Any, task_class: Callable[[str, Any], type[PretextTask]]) -> type[PretextTask]:
        """The class itself; or, where what is said of views and loss depends on the options, a subclass that says it.

        `task_class`: from name and options to a registered task.
        """
        del options, task_class
        return cls

    def check(self, images: Images) -> None:
        """`InputError`, one line, if the task cannot work with such images; called before any compute.

        For what neither the options nor the encoder alone tell: grey images where colours are learnt, say. An encoder
        that cannot work is refused in `__init__`, and a step of one image where instances interact by every run.
        """
        del images

    def keep(self, kept: Tensor) -> None:
        """Which instances of the source are trained on, (n,) bool on the CPU, or (n, tasks) for which of several tasks.

        Called with all of them when a run is built, and before every epoch. For what has a row for every instance, or
        a size that depends on their number. `InputError` if there are too few.
        """
        del kept

    def begin(self, encoder: nn.Module) -> None:
        """Start from the encoder as it is when a run begins, weights that were given to it included.

        For a teacher, which was copied from the encoder before.
        """
        del encoder

    @abstractmethod
    def views(self, images: Tensor, crop: Crop, generator: torch.Generator) -> Views:
        """Views of stored images (k, c, h, w), uint8.

        Everything random is drawn here, once, by `crop` and from the CPU `generator`: the training pass and the tangent
        pass see the same views and the same noise.
        """

    def views_of_source(self, images: Tensor, instances: Tensor, crop: Crop, generator: torch.Generator) -> Views:
        """`views` of these instances (k,) of the source, which are trained on. Every worker calls it."""
        return self.views(images, crop, generator)._replace(instances=instances)

    def some_views(self, views: Views, count: int, generator: torch.Generator) -> Views:
        """`count` of the views of every instance (1 to num_views); each instance draws its own without replacement."""
        del generator
        if count != self.num_views:
            raise InputError(f"tangent_views: {count} cannot work; allowed: {self.num_views}, or none for all")
        return views

    @abstractmethod
    def forward(self, encoder: Encodes, views: Views) -> Outputs:
        """Z and what belongs to it."""

    @abstractmethod
    def losses(self, outputs: Outputs) -> Tensor:
        """(m,) unweighted loss of every instance, averaged over its views: a function of Z alone."""

    def losses_by_task(self, outputs: Outputs) -> Tensor:
        """(m, tasks) what `losses` is the sum of, 0 where an instance has no views for a task."""
        return self.losses(outputs).unsqueeze(1)

    def loss(self, outputs: Outputs, weights: Tensor, instances: int) -> BatchLoss:
        """L(Z, w) from this worker's Z and weights (m,), or (m, tasks) for several tasks; `instances` is k, of the step
        over all workers.

        The weighted mean of `losses`, (1/k) sum_i w_i l_i. A task with another loss says so in `loss_is_mean`.
        """
        losses = self.losses(outputs)
        weighted = (weights.to(losses) * losses).sum()
        workers = collectives.size()
        # Workers' gradients are averaged, the equation sums over the workers: hence the factor.
        return BatchLoss(weighted / instances if workers == 1 else weighted * (workers / instances), losses)

    def after_step(self, encoder: nn.Module, outputs: Outputs, progress: float) -> None:
        """Move what is constant within a step (teacher, queue, centre), at its end.

        The encoder is at theta', as the task's own parameters are. `outputs` are those of the training pass, without
        graph. `progress`: share of the run's budget that is used, 0 to 1.
        """
        del encoder, outputs, progress

    def begin_epoch(self, encoder: Encoder, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Prepare an epoch from all kept instances: batches of indices (k,) and stored images (k, c, h, w)."""
        del encoder, batches


class PretextModel(nn.Module):
    """Encoder and task as one module, so that DistributedDataParallel and `functional_call` see one forward pass."""

    def __init__(self, encoder: Encoder, task: PretextTask):
        super().__init__()
        self.encoder = encoder
        self.task = task

    def forward(self, views: Views) -> Outputs:
        """Z of these views, and what belongs to it."""
        outputs: Outputs = self.task(self.encoder, views)
        return outputs

    def losses(self, views: Views) -> Tensor:
        """(k,) unweighted losses of the instances behind these views, with graph."""
        return self.task.losses(self(views))
