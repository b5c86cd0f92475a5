"""Figures of held-out images against counts made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bdw.scoring.held_out import Group, HeldOut
from bdw.scoring.rater import Ratings


def ratings(predicted: list[float], half_width: float) -> Ratings:
    mean = np.array(predicted)
    none = np.full(len(mean), np.nan)
    return Ratings(none, none, mean, mean - half_width, mean + half_width, mean)


MEAN = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.9])
KEPT = np.array([False, False, True, False, True, True])


def test_figures_of_six_images() -> None:
    found = HeldOut.measured(
        ratings([0.1, 0.25, 0.2, 0.4, 0.5, 0.6], 0.15), 24, MEAN, KEPT, np.array([0, 0, 1, 0, 1, -1], dtype=np.int8)
    )
    assert (found.learnt_from, found.images) == (24, 6)
    assert found.coverage == pytest.approx(5 / 6), "0.9 is not within 0.45 to 0.75"
    assert found.kept_auroc == pytest.approx(7 / 9), "of nine pairs (0.2, 0.25) and (0.2, 0.4) are in the wrong order"
    assert found.planted_auroc == pytest.approx(4 / 6)
    assert found.planted_auroc_of_run == pytest.approx(5 / 6)
    assert found.groups[0] == Group(2, pytest.approx(0.15), pytest.approx(0.2), 0.5)
    assert [group.images for group in found.groups] == [2, 1, 1, 1, 1]
    assert HeldOut.of_values(found.values()) == found


def test_what_cannot_be_measured_is_no_number() -> None:
    found = HeldOut.measured(ratings([0.5] * 6, 1.0), 24, MEAN, np.ones(6, dtype=np.bool_), None)
    values = found.values()
    assert values["correlation"] is values["kept_auroc"] is values["planted_auroc"] is None
    assert math.isnan(HeldOut.of_values(values).kept_auroc)
