"""Exemplars (Dosovitskiy, Springenberg, Riedmiller and Brox, "Discriminative unsupervised feature learning with
convolutional neural networks", NIPS 2014): which image of the source is this a transformed view of?"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from bdw.config.pretext_options.exemplar import ExemplarOptions
from bdw.encoders import Encoder
from bdw.errors import InputError
from bdw.pretext.base import Crop, Outputs, PretextTask, Views
from bdw.pretext.views import Augmentation

PRUNED = -1e9
"""Logit of a class without images; finite, so that its product with probability 0 is 0."""


class Exemplar(PretextTask):
    """One transformed view per instance, and the cross-entropy (eq. 2) of its surrogate class: the instance itself.

    The head is a linear layer with a row for each class; Z are its logits. It holds d numbers a class, as many again
    for the gradient and for the momentum. So there are no more than `most_classes`: in a larger source, instance i has
    the class i modulo `most_classes`, which it shares with instances far from it in the source's order. Classes whose
    instances are all pruned leave the softmax.

    An image outside the source has no class. What the model makes of its untransformed crop, a constant, takes the
    place of the label.
    """

    Options = ExemplarOptions
    num_views = 1
    kept: Tensor
    """(classes,) bool: whether an instance of the class is trained on."""

    def __init__(self, encoder: Encoder, options: ExemplarOptions | None = None):
        super().__init__(encoder, options)
        self.augmentation = Augmentation.of(self.options, encoder.image_shape[-1])
        self.classifier = nn.Linear(encoder.feature_dim, 1)  # until `keep` tells the number of classes
        self.register_buffer("kept", torch.ones(1, dtype=torch.bool))

    def keep(self, kept: Tensor) -> None:
        """The first time, the classifier gets a row for each class. `InputError` for fewer than two instances."""
        classes = min(len(kept), self.options.most_classes)
        if classes < 2:
            raise InputError(f"pretext: 'exemplar' cannot work with {classes} image(s); allowed: at least 2")
        if len(self.kept) != classes:
            weight = self.classifier.weight
            self.classifier = nn.Linear(weight.shape[1], classes, device=weight.device, dtype=weight.dtype)
            self.kept = torch.ones(classes, dtype=torch.bool, device=weight.device)
        has_images = torch.zeros(classes, dtype=torch.bool)
        has_images[kept.nonzero().flatten() % classes] = True
        self.kept.copy_(has_images)

    def views(self, images: Tensor, crop: Crop, generator: torch.Generator) -> Views:
        """Transformed views (k, c, s, s). `crop` serves the description, and images outside the source."""
        crops = crop(images)
        return Views(crops, (self.augmentation(images, generator).to(crops),))

    def forward(self, encoder: Callable[[Tensor], Tensor], views: Views) -> Outputs:
        """Z: logits (k, classes). Given: classes (k,), or label probabilities (k, classes) outside the source. Hits
        (k,): whether the largest logit is that of the label."""
        features = encoder(views.inputs[0])
        logits = self._logits(features)
        if views.instances is None:
            with torch.no_grad():
                labels = self._logits(encoder(views.images)).softmax(dim=1)
            likeliest = labels.argmax(dim=1)
        else:
            labels = likeliest = views.instances.to(logits.device, non_blocking=True) % len(self.kept)
        hits = (logits.detach().argmax(dim=1) == likeliest).to(logits.dtype)
        return Outputs((logits,), (labels,), features.detach(), hits)

    def losses(self, outputs: Outputs) -> Tensor:
        """(k,) cross-entropy of the labels."""
        (logits,), (labels,) = outputs.z, outputs.given
        return functional.cross_entropy(logits, labels, reduction="none")

    def _logits(self, features: Tensor) -> Tensor:
        logits: Tensor = self.classifier(features)
        return logits.masked_fill(~self.kept, PRUNED)
