"""DINO (Caron, Touvron, Misra, Jegou, Mairal, Bojanowski and Joulin, "Emerging properties in self-supervised vision
transformers", ICCV 2021): how does a teacher sort another crop of the image?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor, nn

from bdw.config.pretext_options.dino import DINOOptions
from bdw.encoders import Encoder
from bdw.parallel import collectives
from bdw.pretext.base import Outputs, Views
from bdw.pretext.multi_crop import MultiCrop, encoded
from bdw.pretext.projector import projector
from bdw.pretext.prototypes import Prototypes, cross_entropy_between_views
from bdw.pretext.teacher import Teacher, cosine_momentum


class DINO(MultiCrop):
    """Cross-entropy (eq. 1 and 3) between the teacher's sorting of a large crop and the encoder's of another crop.

    The head is a projector with two hidden layers and prototypes. The teacher sees the large crops alone. Its cosines
    less their centre, over a low temperature, become probabilities: the centre keeps a prototype from taking all
    images, the temperature keeps images from being shared evenly (section 3.1). The centre is the moving average of the
    teacher's cosines over all workers (eq. 4), whatever the weights. The authors' code also holds the prototypes fixed
    in the first epoch; here they move.
    """

    Options = DINOOptions
    centre: Tensor
    teacher_temperature: Tensor

    def __init__(self, encoder: Encoder, options: DINOOptions | None = None):
        super().__init__(encoder, options)
        options = self.options
        first, _ = self.augmentations
        second = dataclasses.replace(first, blur=options.second_blur, solarise=options.second_solarise)
        self.augmentations = (first, second)
        self.small_augmentation = dataclasses.replace(self.small_augmentation, blur=options.local_blur)
        widths = (encoder.feature_dim, options.hidden_dim, options.hidden_dim, options.projection_dim)
        self.projector = projector(widths, batch_norm=options.batch_norm, activation=nn.GELU)
        self.prototypes = Prototypes(options.projection_dim, options.prototypes)
        self.teacher = Teacher(encoder, self.projector, self.prototypes)
        self.register_buffer("centre", torch.zeros(options.prototypes))
        self.register_buffer("teacher_temperature", torch.tensor(self._teacher_temperature(0.0)))

    def begin(self, encoder: nn.Module) -> None:
        """The teacher starts as the encoder and the head are."""
        self.teacher.begin_as(encoder, self.projector, self.prototypes)

    def forward(self, encoder: Callable[[Tensor], Tensor], views: Views) -> Outputs:
        """Z: cosines (k, 2 + n, p) with the prototypes. Given: the teacher's (k, 2, p) for the large crops. No hits."""
        features = encoded(encoder, views)
        flat = features.flatten(0, 1)
        cosines = self.prototypes(self.projector(flat)).unflatten(0, features.shape[:2])
        taught = self.teacher(views.inputs[0]).unflatten(0, (-1, 2))
        return Outputs((cosines,), (taught,), flat.detach(), None)

    def losses(self, outputs: Outputs) -> Tensor:
        """(k,) cross-entropy, meaned over the pairs of a large crop and another crop."""
        (cosines,), (taught,) = outputs.z, outputs.given
        wanted = ((taught - self.centre) / self.teacher_temperature).softmax(dim=2)
        return cross_entropy_between_views(wanted, cosines / self.options.temperature)

    def after_step(self, encoder: nn.Module, outputs: Outputs, progress: float) -> None:
        """Teacher and centre follow; the teacher's temperature is that of the budget used."""
        taught = outputs.given[0].flatten(0, 1)
        sums = collectives.total(torch.cat([taught.sum(dim=0), taught.new_tensor([len(taught)])]))
        self.centre.lerp_((sums[:-1] / sums[-1]).to(self.centre), 1 - self.options.centre_momentum)
        self.teacher_temperature.fill_(self._teacher_temperature(progress))
        momentum = cosine_momentum(self.options.teacher_momentum, progress)
        self.teacher.follow(encoder, self.projector, self.prototypes, momentum=momentum)

    def _teacher_temperature(self, progress: float) -> float:
        """Rises linearly over the first share of the budget (section 3.2)."""
        first, last, share = (
            self.options.first_teacher_temperature, self.options.teacher_temperature, self.options.warm_up_share
        )  # fmt: skip
        risen = min(1.0, progress / share) if share else 1.0
        return float(first + (last - first) * risen)
