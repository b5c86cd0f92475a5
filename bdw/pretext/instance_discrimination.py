"""Instance discrimination (Wu, Xiong, Yu and Lin, "Unsupervised feature learning via non-parametric instance
discrimination", CVPR 2018): which of all images of the source is this a view of?

A memory holds an embedding of every instance. The paper's noise-contrastive estimate (eq. 5 to 8) of the softmax over
the memory (eq. 2) is not used. Its own numbers are lower (section 4.1), its authors' later model is trained with a
softmax, and its 4,096 rows for each instance of a batch are to be gathered, where the softmax is one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from bdw.config.pretext_options.instance_discrimination import InstanceDiscriminationOptions
from bdw.encoders import Encoder
from bdw.pretext.base import Crop, Outputs, PretextTask, Views
from bdw.pretext.gather import gathered
from bdw.pretext.info_nce import hits, logits_against, positive_first
from bdw.pretext.projector import projector
from bdw.pretext.views import Augmentation


class InstanceDiscrimination(PretextTask):
    """One augmented view per instance, and -log of the softmax (eq. 2) over all rows of the memory at its own row.

    The head is a linear layer. Rows of pruned instances are left out of the softmax. An image outside the source has no
    row: the embedding of its crop, without augmentation or gradient, is taken in its place.

    All workers hold the whole memory. After every step they exchange the rows that it moved, so that 1 x 64 instances
    are 2 x 32.
    """

    Options = InstanceDiscriminationOptions
    num_views = 1
    memory: Tensor
    kept: Tensor

    def __init__(self, encoder: Encoder, options: InstanceDiscriminationOptions | None = None):
        super().__init__(encoder, options)
        self.augmentation = Augmentation.of(self.options, encoder.image_shape[-1])
        self.projector = projector((encoder.feature_dim, self.options.projection_dim), batch_norm=False)
        self.register_buffer("memory", torch.empty(0, self.options.projection_dim))
        self.register_buffer("kept", torch.empty(0, dtype=torch.bool))

    def keep(self, kept: Tensor) -> None:
        """The first time, the memory gets random rows of length 1 (section 3.1), one for each of n instances."""
        if len(self.kept) == len(kept):
            self.kept.copy_(kept)
            return
        self.memory = functional.normalize(self.memory.new_empty(len(kept), self.memory.shape[1]).normal_(), dim=1)
        self.kept = kept.to(self.memory.device, copy=True)

    def views(self, images: Tensor, crop: Crop, generator: torch.Generator) -> Views:
        """Augmented views (k, c, s, s). `crop` serves the description, and images outside the source."""
        crops = crop(images)
        return Views(crops, (self.augmentation(images, generator).to(crops),))

    def forward(self, encoder: Callable[[Tensor], Tensor], views: Views) -> Outputs:
        """Z: logits (k, 1 + n), the instance's own row first, then all rows; -inf for its own and for pruned ones.

        Given: embeddings (k, d) of length 1, and the instances' numbers (k,), -1 outside the source. Hits (k,): whether
        the own row is the nearest.
        """
        features = encoder(views.inputs[0])
        embeddings = self._embedded(features)
        if views.instances is None:
            numbers = torch.full((len(embeddings),), -1, device=embeddings.device)
            positives = self._embedded(encoder(views.images)).detach()
        else:
            numbers = views.instances.to(embeddings.device, non_blocking=True)
            positives = self.memory[numbers]
        rows = torch.arange(len(self.memory), device=embeddings.device)
        excluded = (rows == numbers[:, None]) | ~self.kept
        logits = logits_against(embeddings, positives, self.memory, excluded, self.options.temperature)
        return Outputs((logits,), (embeddings.detach(), numbers), features.detach(), hits(logits))

    def losses(self, outputs: Outputs) -> Tensor:
        """(k,) cross-entropy at the own row and, weighted by `proximal`, the squared distance from it (eq. 9)."""
        (logits,), options = outputs.z, self.options
        losses = positive_first(logits)
        if options.proximal:
            losses = losses + 2 * options.proximal * (1 - options.temperature * logits[:, 0])
        return losses

    def after_step(self, encoder: nn.Module, outputs: Outputs, progress: float) -> None:
        """Rows move towards the embeddings of their instances, over all workers, and have length 1 again."""
        del encoder, progress
        embeddings, numbers = (gathered(part)[0] for part in outputs.given)
        moved = torch.lerp(embeddings.to(self.memory), self.memory[numbers], self.options.memory_momentum)
        self.memory[numbers] = functional.normalize(moved, dim=1)

    def _embedded(self, features: Tensor) -> Tensor:
        return functional.normalize(self.projector(features), dim=1)
