"""The meta-batch shrinks to what the target allows, in the sizes that may, and not where it fits."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bdw.config import MetaConfig
from bdw.config.meta import SIZES
from bdw.errors import InputError
from bdw.weighting import meta_loss
from bdw.weighting.largest_meta_batch import fitted


@pytest.mark.parametrize(
    ("classes", "per_class", "settings", "expected"),
    [
        (10, 10, {}, (10, 5, 5, 64)),
        (3, 12, {}, (3, 5, 5, 64)),
        (3, 6, {}, (3, 3, 3, 64)),
        (12, 9, {}, (10, 4, 5, 64)),
        (2, 2, {"shots": 9, "queries": 1}, (2, 1, 1, 64)),
        (2, 4, {"queries": 1, "may_shrink": ("ways", "shots")}, (2, 3, 1, 64)),
        (2, 4, {"shots": 1, "may_shrink": ("ways", "queries")}, (2, 1, 3, 64)),
        (3, 7, {"meta_loss": "pretext"}, (10, 5, 5, 21)),
        (3, 4, {"meta_loss": "prototype+0.5*pretext"}, (3, 2, 2, 12)),
        (40, 20, {"meta_loss": "pretext"}, (10, 5, 5, 64)),
    ],
)
def test_sizes_shrink_as_far_as_needed(
    classes: int, per_class: int, settings: dict[str, Any], expected: tuple[int, ...]
) -> None:
    labels = torch.arange(classes).repeat(per_class)
    fits = fitted(MetaConfig(**{"may_shrink": SIZES, **settings}), labels)
    assert tuple(getattr(fits, name) for name in SIZES) == expected
    meta_loss.check(fits, labels, tuple(map(str, range(classes))))


def test_the_smallest_class_counts() -> None:
    fits = fitted(MetaConfig(may_shrink=SIZES), torch.tensor([0] * 50 + [2] * 3))
    assert (fits.ways, fits.shots, fits.queries) == (2, 1, 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"may_shrink": ("shots", "queries")}, "ways"),
        ({"ways": 2, "may_shrink": ("ways", "queries")}, "shots"),
        ({"meta_loss": "pretext"}, "target_batch"),
    ],
)
def test_what_may_not_shrink_is_refused(settings: dict[str, Any], message: str) -> None:
    config, labels = MetaConfig(**settings), torch.arange(3).repeat(4)
    with pytest.raises(InputError, match=message):
        meta_loss.check(fitted(config, labels), labels, ("a", "b", "c"))
