"""MoCo (He, Fan, Wu, Xie and Girshick, "Momentum contrast for unsupervised visual representation learning", CVPR 2020;
version 2: Chen, Fan, Girshick and He, "Improved baselines with momentum contrastive learning", 2020): which of many
keys did a teacher make of another view of this image?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from bdw.config.pretext_options.moco import MoCoV1Options, MoCoV2Options
from bdw.encoders import Encoder
from bdw.pretext.base import Crop, Outputs, PretextTask, Views
from bdw.pretext.gather import gathered
from bdw.pretext.info_nce import hits, logits_against, positive_first
from bdw.pretext.projector import projector
from bdw.pretext.teacher import Teacher
from bdw.pretext.views import Augmentation

LONGEST_QUEUE, SHARE_OF_SOURCE = 65_536, 16
"""The paper's queue, and which part of the source a queue is at most unless it is set."""


class MoCoV2(PretextTask):
    """Two augmented views per instance: a query that the encoder sees, and a key that only the teacher sees.

    Loss of an instance: InfoNCE (He et al. 2020, eq. 1) of the query, its key and the keys in the queue. The head is a
    projector with a hidden layer. After a step the keys of all workers replace the oldest in the queue, whatever their
    weights. Keys of the query's own image that are still in the queue are no negatives: where pruning shortens epochs,
    they are many.

    The paper shuffles keys between workers (section 3.3), so that batch norm over small parts of a batch cannot tell
    which belong together; here the encoder's norm is chosen instead (`sync` or `group`).
    """

    Options: ClassVar[type[Any]] = MoCoV2Options
    num_views = 1  # that the encoder sees
    queue: Tensor
    queue_instances: Tensor
    oldest: Tensor

    def __init__(self, encoder: Encoder, options: MoCoV2Options | None = None):
        super().__init__(encoder, options)
        hidden = encoder.feature_dim if self.options.hidden_dim is None else self.options.hidden_dim
        widths = [encoder.feature_dim, *([hidden] if hidden else []), self.options.projection_dim]
        self.augmentation = Augmentation.of(self.options, encoder.image_shape[-1])
        self.projector = projector(widths, batch_norm=False)
        self.teacher = Teacher(encoder, self.projector)
        self.register_buffer("queue", torch.empty(0, self.options.projection_dim))
        self.register_buffer("queue_instances", torch.empty(0, dtype=torch.int64))
        self.register_buffer("oldest", torch.tensor(0))

    def keep(self, kept: Tensor) -> None:
        """The first time, the queue gets random keys of length 1, of no instance."""
        if len(self.queue):
            return
        length = self.options.queue or min(LONGEST_QUEUE, max(1, len(kept) // SHARE_OF_SOURCE))
        self.queue = functional.normalize(self.queue.new_empty(length, self.queue.shape[1]).normal_(), dim=1)
        self.queue_instances = self.queue_instances.new_full((length,), -1)

    def begin(self, encoder: nn.Module) -> None:
        """The teacher starts as the encoder and the projector are."""
        self.teacher.begin_as(encoder, self.projector)

    def views(self, images: Tensor, crop: Crop, generator: torch.Generator) -> Views:
        """Views (k, c, s, s) for the queries, and others for the keys. `crop` serves the description alone."""
        crops = crop(images)
        drawn = self.augmentation(images, generator, copies=2).to(crops).unflatten(0, (-1, 2))
        return Views(crops, (drawn[:, 0].contiguous(), drawn[:, 1].contiguous()))

    def forward(self, encoder: Callable[[Tensor], Tensor], views: Views) -> Outputs:
        """Z: logits (k, 1 + queue), that of the key first.

        Given: keys (k, d) of length 1, and the instances' numbers (k,), -2 outside the source. Hits (k,): whether the
        key is the nearest.
        """
        seen_by_student, seen_by_teacher = views.inputs
        features = encoder(seen_by_student)
        queries = functional.normalize(self.projector(features), dim=1)
        keys = functional.normalize(self.teacher(seen_by_teacher), dim=1)
        numbers = torch.full((len(keys),), -2) if views.instances is None else views.instances
        numbers = numbers.to(keys.device, non_blocking=True)
        own = self.queue_instances == numbers[:, None]
        logits = logits_against(queries, keys, self.queue, own, self.options.temperature)
        return Outputs((logits,), (keys, numbers), features.detach(), hits(logits))

    def losses(self, outputs: Outputs) -> Tensor:
        """(k,) cross-entropy at the key."""
        return positive_first(outputs.z[0])

    def after_step(self, encoder: nn.Module, outputs: Outputs, progress: float) -> None:
        """The teacher follows (eq. 2), and the keys of all workers enter the queue, the last ones if it is short."""
        del progress
        self.teacher.follow(encoder, self.projector, momentum=self.options.teacher_momentum)
        length = len(self.queue)
        keys, numbers = (gathered(part)[0][-length:] for part in outputs.given)
        places = (self.oldest + torch.arange(len(keys), device=self.oldest.device)) % length
        self.queue[places] = keys.to(self.queue)
        self.queue_instances[places] = numbers
        self.oldest.copy_((self.oldest + len(keys)) % length)


class MoCoV1(MoCoV2):
    """The same with a linear head, weaker augmentation and a lower temperature."""

    Options = MoCoV1Options
