"""What a pretext task is, and the model that encoder and head are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from bdw.encoders import Encoder


class PretextOutput(NamedTuple):
    """What a batch of k instances costs and how well it is solved."""

    losses: Tensor
    """(k,) loss of every instance, averaged over its views."""
    hits: Tensor | None
    """(k,) share of its views solved, without gradient; none where a task knows no right and wrong."""
    features: Tensor
    """(k * views, d) what the encoder made of the views, without gradient; an instance's views follow one another."""


class PretextTask(Protocol):
    """Makes views of images and says what each instance's views cost. Holds no parameters itself."""

    num_views: int
    """Views of an instance."""

    def head(self, feature_dim: int, image_shape: tuple[int, int, int]) -> nn.Module:
        """The trainable part between features and loss, for images (c, s, s)."""

    def views(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """All that the loss needs of images (k, c, h, w). Everything random is drawn here, once: the training pass
        and the tangent pass must see the same views and the same noise."""

    def some_views(self, views: tuple[Tensor, ...], count: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """`count` of the views of every instance (1 to num_views), each instance drawing its own without replacement.

        `solve` takes them like all views: the expected loss of an instance is the same if no loss depends on another
        view, so without batch norm.
        """

    def solve(
        self, encoder: Callable[[Tensor], Tensor], head: Callable[..., Any], views: tuple[Tensor, ...]
    ) -> PretextOutput:
        """Losses, hits and features; the losses may depend on each other through batch norm."""


class PretextModel(nn.Module):
    """Encoder and head as one module, so that DistributedDataParallel and `functional_call` see one forward pass."""

    def __init__(self, encoder: Encoder, task: PretextTask):
        super().__init__()
        self.task = task
        self.encoder = encoder
        self.head = task.head(encoder.feature_dim, encoder.image_shape)

    def forward(self, views: tuple[Tensor, ...]) -> PretextOutput:
        """Losses and hits (k,) of the instances behind these views, and their features."""
        return self.task.solve(self.encoder, self.head, views)
