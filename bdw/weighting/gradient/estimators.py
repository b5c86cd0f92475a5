"""How <v, grad L_i> of every instance is computed: four estimators, one of which is chosen when a run is built.

All are exact for their loss (docs/design.md, section 2); they differ in what they need and in what they cost. What an
estimator needs is checked when it is made. Whether instances interact is read off the task, and off batch norm.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.func import functional_call

from bdw.encoders import untouched_statistics
from bdw.errors import InputError
from bdw.parallel import collectives
from bdw.pretext import Outputs, PretextModel, PretextTask, Views
from bdw.weighting.gradient.conv_cache import ConvCache
from bdw.weighting.gradient.forward_mode import instance_directional_derivatives, tangents_along, weight_derivatives
from bdw.weighting.gradient.from_training_pass import SMALLEST_WEIGHT, LayerTangents, has_batch_norm, layers_of
from bdw.weighting.gradient.natural_gradient import NaturalDirection, flat, has_linear_head, head_gradients
from bdw.weighting.gradient.parts import parts_of
from bdw.weighting.gradient.target_gradient import Direction

Derivatives = Callable[[Direction, Outputs | None], Tensor]
"""From v and the training pass's outputs (None without one) to the derivatives (m,) without graph: k d/dw_i of
<v, grad L>, which is <v, grad L_i> where the loss is a weighted mean. With a weight for every instance and task they
are (m, tasks), and 0 where an instance has no views for a task."""
Name = Literal["cheapest", "training_pass", "forward_mode", "head", "natural_head"]

_HEAD = "task."


class GradientEstimator(ABC):
    """Computes the derivatives of a step whose training pass it has watched."""

    name: ClassVar[str]

    def __init__(self, model: PretextModel, *, head_alone: bool = False):
        """With `head_alone` gradients of the task's parameters alone are compared.

        Raises `InputError` if the estimator is not exact for the model's task.
        """
        reason = self.refusal(model, head_alone=head_alone)
        if reason:
            raise InputError(
                f"estimator: {self.name!r} cannot work with pretext {type(model.task).__name__!r}, {reason}; "
                "allowed: 'forward_mode'"
            )
        self.model = model
        self.head_alone = head_alone
        self._trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
        self.compared = {n: v for n, v in self._trained.items() if not head_alone or n.startswith(_HEAD)}
        """The parameters whose gradients are compared, by name."""

    @classmethod
    def refusal(cls, model: PretextModel, *, head_alone: bool = False) -> str | None:
        """Why the estimator would not be exact for this model; None if it is."""
        del model, head_alone
        return None

    @abstractmethod
    def watch(self, views: Views, weights: Tensor, instances: int) -> AbstractContextManager[Derivatives]:
        """Around the weighted update on these views, with weights (m,) or (m, tasks) of the step's k instances."""


class ForwardMode(GradientEstimator):
    """One forward-mode pass at the old theta: Z and its tangent dZ, or at once the tangents of the losses.

    Exact for any task and loss.
    """

    name = "forward_mode"

    def __init__(
        self,
        model: PretextModel,
        *,
        head_alone: bool = False,
        tangent_views: int | None = None,
        generator: torch.Generator | None = None,
        parts: int = 1,
    ):
        """`tangent_views`: views of every instance that the pass sees, drawn from the generator; all if None.

        `parts`: as the training pass has them, whose batch norm normalises each by itself.
        """
        super().__init__(model, head_alone=head_alone)
        self._parts = parts
        self._generator = generator
        self._tangent_views = None if tangent_views == model.task.num_views else tangent_views

    @contextmanager
    def watch(self, views: Views, weights: Tensor, instances: int) -> Iterator[Derivatives]:
        """Keep theta, and the values of large convolutions where the training pass can be looked into."""
        theta = {name: value.detach().clone() for name, value in self._trained.items()}
        sees_all = self._tangent_views is None and not self.head_alone and not self.model.encoder.is_compiled
        cache = ConvCache() if sees_all and self._parts == 1 else None

        def derivatives(direction: Direction, outputs: Outputs | None) -> Tensor:
            del outputs
            return self.derivatives(views, weights, instances, theta, direction, cache or ())

        with cache or nullcontext():
            yield derivatives

    def derivatives(
        self,
        views: Views,
        weights: Tensor,
        instances: int,
        theta: Mapping[str, Tensor],
        direction: Direction,
        kept: Iterable[Tensor | None] = (),
    ) -> Tensor:
        """The derivatives (m,) at theta on these views, or some of them; `kept`: see `ConvCache`."""
        parts = parts_of(views, weights, self._parts)
        return torch.cat([self._of_part(*part, instances, theta, direction, kept) for part in parts])

    def _of_part(
        self,
        views: Views,
        weights: Tensor,
        instances: int,
        theta: Mapping[str, Tensor],
        direction: Direction,
        kept: Iterable[Tensor | None],
    ) -> Tensor:
        if self._tangent_views is not None:
            assert self._generator is not None, "a subset of the views is drawn"
            views = self.model.task.some_views(views, self._tangent_views, self._generator)

        def outputs_at(params: dict[str, Tensor]) -> Outputs:
            found: Outputs = functional_call(self.model, params, (views,))
            return found

        with untouched_statistics(self.model):
            return _derivatives(self.model.task, outputs_at, theta, direction, weights, instances, kept)


class Head(GradientEstimator):
    """Gradients of the task's parameters alone, from the training pass's features: the encoder is not run again.

    Forward mode through head and loss, exact for any loss.
    """

    name = "head"

    def __init__(self, model: PretextModel, *, parts: int = 1):
        """`parts`: as the training pass has them."""
        super().__init__(model, head_alone=True)
        self._parts = parts

    @contextmanager
    def watch(self, views: Views, weights: Tensor, instances: int) -> Iterator[Derivatives]:
        """Keep the head's parameters."""
        theta = {_inner(name): value.detach().clone() for name, value in self.compared.items()}

        def derivatives(direction: Direction, outputs: Outputs | None) -> Tensor:
            assert outputs is not None, "there was a training pass"
            inner = {_inner(name): value for name, value in direction.items()}
            found, left = [], outputs.inner or (outputs.features,)
            of_each = [len(rows) // len(weights) for rows in left]
            for shown, theirs in parts_of(views, weights, self._parts):
                ends = [len(theirs) * each for each in of_each]
                mine = [rows[:end] for rows, end in zip(left, ends, strict=True)]
                left = tuple(rows[end:] for rows, end in zip(left, ends, strict=True))
                outputs_at = functools.partial(_at_answers, self.model.task, mine, shown)
                with untouched_statistics(self.model.task):
                    found.append(_derivatives(self.model.task, outputs_at, theta, inner, theirs, instances))
            return torch.cat(found)

        yield derivatives


class TrainingPass(GradientEstimator):
    """Products of the layers' inputs and output gradients that the training pass has computed anyway.

    Not exact if an instance's loss depends on another instance. A weight near 0 cannot be divided out of the gradients:
    a step with one leaves the derivatives to `otherwise`.
    """

    name = "training_pass"

    def __init__(self, model: PretextModel, *, otherwise: GradientEstimator | None = None):
        self._otherwise = otherwise or ForwardMode(model)
        super().__init__(model, head_alone=self._otherwise.head_alone)
        layers = _layers(model, self.head_alone)
        assert layers is not None, "refused otherwise"
        self._layers = layers

    @classmethod
    def refusal(cls, model: PretextModel, *, head_alone: bool = False) -> str | None:
        """Interacting instances, batch norm, another loss than a mean, unknown layers, a compiled encoder."""
        if model.task.instances_interact:
            return "whose instances interact"
        if not model.task.loss_is_mean:
            return "whose loss is not a mean over instances"
        if has_batch_norm(model.task if head_alone else model):
            return "where batch norm lets instances depend on each other"
        if not head_alone and model.encoder.is_compiled:
            return "where a compiled encoder cannot be looked into"
        if not head_alone and not model.encoder.calls_its_layers:
            return "where an encoder of another library may use its weights outside of their layers"
        return None if _layers(model, head_alone) else "where parameters are in other layers than it knows"

    @contextmanager
    def watch(self, views: Views, weights: Tensor, instances: int) -> Iterator[Derivatives]:
        """Record the layers' inputs and output gradients."""
        if not float(weights.min()) > SMALLEST_WEIGHT:
            with self._otherwise.watch(views, weights, instances) as derivatives:
                yield derivatives
            return

        def from_layers(direction: Direction, outputs: Outputs | None) -> Tensor:
            assert outputs is not None, "there was a training pass"
            return tangents.derivatives(direction, weights.to(outputs.z[0]) * (collectives.size() / instances))

        with LayerTangents(self._layers) as tangents:
            yield from_layers


class NaturalHead(GradientEstimator):
    """Directions of the head's gradients in the metric of their second moments (`natural_gradient`)."""

    name = "natural_head"

    def __init__(self, model: PretextModel, device: torch.device | None = None):
        super().__init__(model, head_alone=True)
        self.natural = NaturalDirection(device)

    @classmethod
    def refusal(cls, model: PretextModel, *, head_alone: bool = False) -> str | None:
        """Interacting instances, another loss than a mean, a head that is not linear."""
        del head_alone
        if model.task.instances_interact:
            return "whose instances interact"
        if not model.task.loss_is_mean:
            return "whose loss is not a mean over instances"
        return None if has_linear_head(model.task) else "whose head is not linear"

    @contextmanager
    def watch(self, views: Views, weights: Tensor, instances: int) -> Iterator[Derivatives]:
        """Keep the head's parameters."""
        del weights, instances
        theta = {_inner(name): value.detach().clone() for name, value in self.compared.items()}

        def derivatives(direction: Direction, outputs: Outputs | None) -> Tensor:
            assert outputs is not None, "there was a training pass"
            gradients = head_gradients(self.model.task, outputs.features, views, theta)
            return self.natural.derivatives(gradients, flat({_inner(name): v for name, v in direction.items()}))

        yield derivatives


def choose(
    model: PretextModel,
    wanted: Name = "cheapest",
    *,
    has_training_pass: bool = True,
    parts: int = 1,
    tangent_views: int | None = None,
    generator: torch.Generator | None = None,
    device: torch.device | None = None,
    weights_of_tasks: bool = False,
) -> GradientEstimator:
    """The estimator of a run, once model and encoder are what they will be in it.

    Args:
        model: encoder and task.
        wanted: `cheapest` is the training pass where that is exact, otherwise forward mode.
        parts: parts of a batch that pass through the model one after the other. With more than one the training pass
            is not remembered, which would take the memory that parts save.
        has_training_pass: false where weights learn before the update; then only forward mode has what it needs.
        tangent_views: let forward mode see so many views of every instance, drawn from the generator.
        generator: for `tangent_views`.
        device: where a state is loaded to.
        weights_of_tasks: whether every task has weights of its own. Then only forward mode tells the tasks apart.

    Raises:
        InputError: the estimator wanted is not exact for the model's task.
    """
    head_alone = wanted in ("head", "natural_head")
    some_views = tangent_views not in (None, model.task.num_views)
    forward_mode = functools.partial(ForwardMode, model, tangent_views=tangent_views, generator=generator, parts=parts)
    if not has_training_pass or weights_of_tasks:
        return forward_mode(head_alone=head_alone)
    if wanted == "natural_head":
        return NaturalHead(model, device)
    if wanted == "training_pass":
        return TrainingPass(model)
    if wanted == "forward_mode" or (wanted == "cheapest" and some_views):
        return forward_mode()
    otherwise = Head(model, parts=parts) if head_alone else forward_mode()
    fits = parts == 1 and TrainingPass.refusal(model, head_alone=head_alone) is None
    return TrainingPass(model, otherwise=otherwise) if fits else otherwise


def _derivatives(
    task: PretextTask,
    outputs_at: Callable[[dict[str, Tensor]], Outputs],
    theta: Mapping[str, Tensor],
    direction: Direction,
    weights: Tensor,
    instances: int,
    kept: Iterable[Tensor | None] = (),
) -> Tensor:
    """By forward mode: the tangents of the losses of a weighted mean, and the general form for any other loss."""
    if task.loss_is_mean and weights.dim() == 1:
        return instance_directional_derivatives(lambda at: task.losses(outputs_at(at)), theta, direction, kept)
    if task.loss_is_mean:
        by_task = functools.partial(tangents_along, direction, params=theta, kept=kept)
        ((losses, tangents),) = by_task(lambda at: (task.losses_by_task(outputs_at(at)),))
        return torch.zeros_like(losses) if tangents is None else tangents.clone()
    seen: list[Outputs] = []

    def z_at(params: dict[str, Tensor]) -> tuple[Tensor, ...]:
        seen.append(outputs_at(params))
        return seen[-1].z

    pairs = tangents_along(direction, z_at, theta, kept)
    (outputs,) = seen

    def loss(z: list[Tensor], at: Tensor) -> Tensor:
        return task.loss(outputs._replace(z=tuple(z)), at, instances).total

    # The mean of the workers' totals is L.
    return weight_derivatives(loss, pairs, weights.to(pairs[0][0])) * (instances / collectives.size())


def _at_answers(task: PretextTask, answers: Sequence[Tensor], views: Views, params: dict[str, Tensor]) -> Outputs:
    found: Outputs = functional_call(task, params, (_Remembered(answers, len(views.images)), views))
    return found


class _Remembered:
    """Stands for the encoder: its answers (m * views, ...), one after the other, of every one the next views."""

    def __init__(self, answers: Sequence[Tensor], instances: int):
        self._left = [rows.unflatten(0, (instances, -1)) for rows in answers]

    def __call__(self, images: Tensor, keep: Tensor | None = None, /) -> Tensor:
        del keep
        rows, count = self._left[0], len(images) // len(self._left[0])
        self._left[:1] = [rows[:, count:]] if count < rows.shape[1] else []
        found: Tensor = rows[:, :count].flatten(0, 1)
        return found

    feature_map = tokens = __call__


def _layers(model: PretextModel, head_alone: bool) -> dict[str, torch.nn.Module] | None:
    return layers_of(model.task, _HEAD.removesuffix(".")) if head_alone else layers_of(model)


def _inner(name: str) -> str:
    return name.removeprefix(_HEAD)
