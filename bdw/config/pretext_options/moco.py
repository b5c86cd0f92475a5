"""Options of `moco_v1` and `moco_v2`."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.config.checks import require
from bdw.config.pretext_options.augmentation import AugmentationOptions
from bdw.config.pretext_options.ranges import require_positive, require_shares, require_sizes


@dataclass(frozen=True, kw_only=True)
class MoCoV2Options(AugmentationOptions):
    """Of `moco_v2`; the defaults are the report's (Chen, Fan, Girshick and He 2020) and its authors' code's."""

    least_area: float = 0.2
    """Smallest share of the image's area in a view's crop; the largest is 1."""
    jitter_strength: float = 0.5
    """Strength of that: at 0.5, brightness, contrast and saturation change by up to 40 % and hue by a tenth of a
    turn."""
    temperature: float = 0.2
    """What cosines are divided by."""
    projection_dim: int = 128
    """Numbers in a query or key."""
    hidden_dim: int | None = None
    """Hidden units of the projector; none for as many as the encoder has features, 0 for a linear one."""
    queue: int | None = None
    """Keys in the queue; none for a sixteenth of the source, but at most 65,536, which is the paper's number and a
    twentieth of its source."""
    teacher_momentum: float = 0.999
    """What stays of the teacher in a step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "temperature")
        require_sizes(self, "projection_dim")
        hidden, queue = self.hidden_dim, self.queue
        require(hidden is None or hidden >= 0, "pretext.hidden_dim", hidden, "at least 0, or none for the features'")
        require(queue is None or queue >= 1, "pretext.queue", queue, "at least 1, or none for a share of the source")
        require_shares(self, "teacher_momentum")


@dataclass(frozen=True, kw_only=True)
class MoCoV1Options(MoCoV2Options):
    """Of `moco_v1`; the defaults are the paper's (He et al. 2020, section 3.3) and its authors' code's."""

    jitter: float = 1.0
    """Probability that a view's colours are jittered."""
    blur: float = 0.0
    """Probability that a view is blurred, with a kernel of a tenth of its side."""
    temperature: float = 0.07
    """What cosines are divided by."""
    hidden_dim: int | None = 0
    """Hidden units of the projector; none for as many as the encoder has features, 0 for a linear one."""
