"""The gradient of the meta-loss with respect to instance weights, for users of their own training loop."""

from __future__ import annotations

from bdw.weighting.gradient.forward_mode import instance_directional_derivatives, reference_weight_gradient

__all__ = ["instance_directional_derivatives", "reference_weight_gradient"]
