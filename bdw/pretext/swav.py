"""SwAV (Caron, Misra, Mairal, Goyal, Bojanowski and Joulin, "Unsupervised learning of visual features by contrasting
cluster assignments", NeurIPS 2020): how is another crop of the image sorted, if all prototypes get as many images?"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from bdw.config.pretext_options.swav import SwAVOptions
from bdw.encoders import Encoder
from bdw.pretext.base import Outputs, Views
from bdw.pretext.gather import gathered
from bdw.pretext.multi_crop import MultiCrop, encoded
from bdw.pretext.projector import projector
from bdw.pretext.prototypes import Prototypes, cross_entropy_between_views
from bdw.pretext.sinkhorn import balanced_codes


class SwAV(MultiCrop):
    """Cross-entropy (eq. 1 and 2) between the code of a large crop and the sorting of another crop.

    The head is a projector with one hidden layer and prototypes. Codes are balanced over the step's instances on all
    workers, whatever their weights, and over a queue of earlier ones if there is one; they are constants of the step.
    Prototypes may rest at first, as in the authors' code: no gradient reaches them, nor a tangent.
    """

    Options = SwAVOptions
    instances_interact = True
    queue: Tensor
    entered: Tensor
    moves: Tensor | None
    """0 while prototypes rest, then 1; None where they never do."""

    def __init__(self, encoder: Encoder, options: SwAVOptions | None = None):
        super().__init__(encoder, options)
        options = self.options
        widths = (encoder.feature_dim, options.hidden_dim, options.projection_dim)
        self.projector = projector(widths, batch_norm=options.batch_norm)
        self.prototypes = Prototypes(options.projection_dim, options.prototypes)
        self.register_buffer("queue", torch.zeros(options.queue, 2, options.projection_dim))
        self.register_buffer("entered", torch.tensor(0))
        self.register_buffer("moves", torch.tensor(0.0) if options.prototypes_rest > 0 else None)

    def forward(self, encoder: Callable[[Tensor], Tensor], views: Views) -> Outputs:
        """Z: cosines (k, 2 + n, p) with the prototypes. Given: codes (k, 2, p) of the large crops, and their embeddings
        (k, 2, d) of length 1. No hits."""
        features = encoded(encoder, views)
        flat = features.flatten(0, 1)
        embeddings = self.projector(flat).unflatten(0, features.shape[:2])
        cosines = self.prototypes(embeddings, self.moves)
        codes = self._codes(cosines[:, :2].detach())
        entering = functional.normalize(embeddings[:, :2].detach(), dim=2)
        return Outputs((cosines,), (codes, entering), flat.detach(), None)

    def losses(self, outputs: Outputs) -> Tensor:
        """(k,) cross-entropy, meaned over the pairs of a large crop and another crop."""
        (cosines,), (codes, _) = outputs.z, outputs.given
        return cross_entropy_between_views(codes, cosines / self.options.temperature)

    def after_step(self, encoder: nn.Module, outputs: Outputs, progress: float) -> None:
        """The large crops' embeddings of all workers replace the oldest in the queue; prototypes may begin to move."""
        del encoder
        if self.moves is not None and progress >= self.options.prototypes_rest:
            self.moves.fill_(1.0)
        length = len(self.queue)
        if length == 0 or progress < self.options.queue_begins:
            return
        embeddings, _ = gathered(outputs.given[1])
        embeddings = embeddings[-length:]
        places = (self.entered + torch.arange(len(embeddings), device=self.entered.device)) % length
        self.queue[places] = embeddings.to(self.queue)
        self.entered += len(embeddings)

    def _codes(self, cosines: Tensor) -> Tensor:
        """(k, 2, p) from this worker's cosines: first and second crops are balanced each by themselves."""
        scores, begins = gathered(cosines)
        # Read by the host; without a queue nothing is.
        if len(self.queue) and int(self.entered) >= len(self.queue):
            with torch.no_grad():
                scores = torch.cat([scores, self.prototypes(self.queue)])
        options, mine = self.options, slice(begins, begins + len(cosines))
        codes = [balanced_codes(each, options.epsilon, options.iterations)[mine] for each in scores.unbind(dim=1)]
        return torch.stack(codes, dim=1)
