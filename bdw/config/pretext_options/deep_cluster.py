"""Options of `deep_cluster`."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.config.checks import require
from bdw.config.pretext_options.augmentation import AugmentationOptions
from bdw.config.pretext_options.ranges import require_sizes


@dataclass(frozen=True, kw_only=True)
class DeepClusterOptions(AugmentationOptions):
    """Of `deep_cluster`; the defaults are the paper's (Caron et al. 2018, section 3.3) and its authors' code's."""

    jitter: float = 0.0
    """Probability that a view's colours are jittered."""
    grey: float = 0.0
    """Probability that a view loses its colours."""
    blur: float = 0.0
    """Probability that a view is blurred, with a kernel of a tenth of its side."""
    clusters: int | None = None
    """Clusters of an epoch, at most as many as there are images; none for one to 128 kept images, which are the paper's
    10,000 for ImageNet."""
    components: int = 256
    """Principal components of the features that are clustered; at most as many as there are features."""

    def __post_init__(self) -> None:
        super().__post_init__()
        clusters = self.clusters
        require(clusters is None or clusters >= 2, "pretext.clusters", clusters, "at least 2, or none for one to 128")
        require_sizes(self, "components")
