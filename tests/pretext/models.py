"""Small models of pretext tasks, for tests that look at their parts."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import functional_call

from bdw import pretext
from bdw.encoders import Encoder
from bdw.pretext import PretextModel, PretextTask, Views
from bdw.pretext.rotation import Rotation


def as_stored(images: Tensor) -> Tensor:
    """The crop that is the whole image: uint8 as float64 in [-1, 1], floats as they are."""
    return images.double() / 127.5 - 1 if images.dtype == torch.uint8 else images


def not_augmented(images: Tensor, _: torch.Generator) -> Tensor:
    """The same as a learner's augmentation."""
    return as_stored(images)


def model_of(encoder: Encoder, task: type[PretextTask] | str = Rotation) -> PretextModel:
    """Encoder and task, drawn from torch's global generator."""
    made = pretext.build(task, encoder) if isinstance(task, str) else task(encoder)
    return PretextModel(encoder, made)


def views_of(model: PretextModel, images: Tensor, seed: int = 0, *, of_source: bool = False) -> Views:
    """Views of whole images (k, c, s, s); with `of_source` they are the source's first k instances."""
    views = model.task.views(images, as_stored, torch.Generator().manual_seed(seed))
    return views._replace(instances=torch.arange(len(images)) if of_source else None)


def losses_of(model: PretextModel, views: Views) -> Callable[[dict[str, Tensor]], Tensor]:
    """The losses (k,) as a function of the parameters.

    Of a copy: `functional_call` does not put a module back that stands in two places.
    """
    copied = copy.deepcopy(model)
    return lambda params: copied.task.losses(functional_call(copied, params, (views,)))
