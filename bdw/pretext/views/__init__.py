"""Random views of stored images: whole batches on the training device, every image with its own draws.

Every operation takes the parameters of each image (boxes, factors, deviations) and draws nothing; `Augmentation` draws
them. Images are (n, c, s, s) in [0, 1] between the operations.
"""

from __future__ import annotations

from bdw.pretext.views.augmentation import Augmentation

__all__ = ["Augmentation"]
