"""How the gradients of instances are compared with the target's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bdw.config.checks import require, require_at_least


@dataclass(frozen=True, kw_only=True)
class GradientConfig:
    """How the gradients of instances are compared with the target's."""

    tangent_views: int | None = None
    """Take the tangents on so many views of every image, drawn anew in each step (one rotation of four costs a quarter
    and, without batch norm, is right on average); default: all views, exactly."""
    direction_momentum: float = 0.0
    """Compare instances' gradients with a running mean of the meta-loss's gradient over steps instead of with one
    step's: less noise, some steps late. Not in the paper."""
    direction_every: int = 1
    """Draw a target batch, and pay for the meta pass, only in the first of every so many steps of an epoch that learn;
    the others compare with the same gradient, or mean of gradients. Not in the paper."""
    direction_parameters: Literal["all", "head"] = "all"
    """Parameters whose gradients are compared; `head`: those of the pretext head alone, which costs next to nothing
    (with all views, whatever `tangent_views` says, where weights learn after the update).
    Not in the paper, and only for the pretext meta-loss: prototypes do not depend on the head."""
    natural_direction: bool = False
    """Compare gradients in the metric of their own second moments, and only their directions: with the natural gradient
    F^-1 v in the place of v, divided by each gradient's length. Gradients of all images have much in common; only the
    rest tells them apart. Only for direction_parameters `head`, a linear head and without relative_derivatives. Not in
    the paper."""
    relative_derivatives: bool = False
    """Divide every image's derivative by its own loss, as if the loss were its logarithm: images learnt already
    have small gradients, whatever they are worth. Not in the paper; changes the weights' gradient, not the model's."""
    centred_derivatives: bool = False
    """Subtract the batch's mean from the derivatives: what moves all weights alike tells no image from another. Not in
    the paper; changes the weights' gradient, not the model's."""
    shared_derivatives: bool = False
    """Give every image the derivative that a regression on the encoder's features and the image's colours predicts for
    it, so that images that look alike share their evidence: one visit's is mostly noise. Not in the paper."""
    target_margin: float | None = None
    """`counts`: judge every image once an epoch instead of at every visit, by a regression of the derivatives in which
    the target's own images take part as examples of what helps. On its scale the pool's mean is 0 and the target's 1;
    an image at this margin is as likely to help as not. Not in the paper. Default: judge visits."""
    target_statistics: Literal["target", "source"] = "target"
    """What batch norm normalises target images by: their own batch, as in the paper, or the running statistics of
    source batches, so that the encoder sees both alike. Not in the paper."""

    def __post_init__(self) -> None:
        require_at_least("tangent_views", self.tangent_views, 1, "at least 1, or none for all views")
        require(0 <= self.direction_momentum < 1, "direction_momentum", self.direction_momentum, "0 <= value < 1")
        require(self.direction_every >= 1, "direction_every", self.direction_every, "at least 1")
        require(
            self.target_margin is None or 0 < self.target_margin <= 1,
            "target_margin",
            self.target_margin,
            "above 0, at most 1, or none",
        )
        require(
            self.target_margin is None or not self.shared_derivatives,
            "target_margin",
            self.target_margin,
            "none with shared_derivatives, which judges visits",
        )
        alone = self.direction_parameters == "head" and not self.relative_derivatives
        require(
            alone or not self.natural_direction,
            "natural_direction",
            self.natural_direction,
            "false, or direction_parameters 'head' without relative_derivatives",
        )
