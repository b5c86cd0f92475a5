"""How many images a selector is to choose, and its choice as weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bdw.config import SelectorConfig
from bdw.data.packed import PackedDataset
from bdw.errors import InputError


@dataclass(frozen=True)
class Size:
    """A number of images or a share of the pool; neither where the selector may stop by itself."""

    count: int | None
    share: float | None

    @classmethod
    def of(cls, config: SelectorConfig, *, required: bool = True) -> Self:
        """As the config says; `InputError` without any where one is required."""
        if required and config.selected_count is None and config.selected_share is None:
            raise InputError(
                f"selected_share: none cannot work with selector {config.selector!r}, which needs a size; allowed: "
                "above 0, at most 1, or selected_count"
            )
        return cls(config.selected_count, config.selected_share)

    def within(self, count: int) -> int | None:
        """Images of so many; None without a size. A share is rounded, and at least one image.

        `InputError` for more than there are.
        """
        if self.count is not None and self.count > count:
            raise InputError(
                f"selected_count: {self.count:,} is more than the {count:,} images of the source; allowed: at most "
                f"{count:,}"
            )
        return self.count if self.share is None else max(1, round(self.share * count))

    def of_all(self, count: int) -> int:
        """Images of so many, where a size is required."""
        wanted = self.within(count)
        assert wanted is not None, "required when it was made"
        return wanted


def by_name(source: PackedDataset) -> NDArray[np.int64]:
    """The instances (n,) in the order of their names, which does not depend on their order in the pool."""
    return np.argsort(np.asarray(source.names), kind="stable").astype(np.int64)


def weights_of(chosen: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """1 for these instances, 0 for the others: (count,)."""
    weights = np.zeros(count)
    weights[chosen] = 1
    return weights
