"""SimSiam (Chen and He, "Exploring simple siamese representation learning", CVPR 2021): what does the encoder itself
make of another view of the image?"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from bdw.config.pretext_options.simsiam import SimSiamOptions
from bdw.encoders import Encoder
from bdw.pretext.base import Outputs, Views
from bdw.pretext.byol import cosines_with_the_other_view
from bdw.pretext.projector import projector
from bdw.pretext.two_views import TwoViews


class SimSiam(TwoViews):
    """Minus the cosine of a view's prediction and the other view's projection, which is constant (eq. 2 and 4),
    averaged over the instance's two views.

    The head is a projector of three layers and a predictor of two. No negatives, no teacher: instances meet in batch
    norm alone.
    """

    Options = SimSiamOptions

    def __init__(self, encoder: Encoder, options: SimSiamOptions | None = None):
        super().__init__(encoder, options)
        size, batch_norm = self.options.projection_dim, self.options.batch_norm
        widths = (encoder.feature_dim, size, size, size)
        self.projector = projector(widths, batch_norm=batch_norm, normalised_output=batch_norm)
        self.predictor = projector((size, self.options.hidden_dim, size), batch_norm=batch_norm)

    def forward(self, encoder: Callable[[Tensor], Tensor], views: Views) -> Outputs:
        """Z: predictions (k, 2, d) of length 1. Given: projections (k, 2, d) of length 1, constants. No hits."""
        features = encoder(views.inputs[0])
        projections = self.projector(features)
        predictions = functional.normalize(self.predictor(projections), dim=1).unflatten(0, (-1, 2))
        aims = functional.normalize(projections.detach(), dim=1).unflatten(0, (-1, 2))
        return Outputs((predictions,), (aims,), features.detach(), None)

    def losses(self, outputs: Outputs) -> Tensor:
        """(k,) -1 to 1."""
        (predictions,), (aims,) = outputs.z, outputs.given
        return cosines_with_the_other_view(predictions, aims) / -2
