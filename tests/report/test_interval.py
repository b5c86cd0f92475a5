from __future__ import annotations

import pytest
import scipy.stats
from statsmodels.stats.proportion import proportion_confint

from bdw.report.interval import QUANTILE, wilson


@pytest.mark.parametrize("number_of", [1, 7, 95, 319, 8000])
@pytest.mark.parametrize("share", [0.0, 0.03, 0.5, 0.9, 1.0])
def test_wilsons_interval_is_that_of_statsmodels(share: float, number_of: int) -> None:
    counted = round(share * number_of)
    interval = wilson(counted / number_of, number_of)
    expected = proportion_confint(counted, number_of, alpha=0.05, method="wilson")
    assert (interval.low, interval.high) == pytest.approx(expected, abs=1e-12)


def test_it_is_that_of_scipy_too() -> None:
    interval = wilson(291 / 319, 319)
    expected = scipy.stats.binomtest(291, 319).proportion_ci(0.95, method="wilson")
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert scipy.stats.norm.ppf(0.975) == pytest.approx(QUANTILE, abs=1e-14)


def test_it_reads_as_a_range_and_knows_what_is_inside() -> None:
    interval = wilson(291 / 319, 319)
    assert str(interval) == "87.6 to 93.9 %"
    assert 0.88 in interval
    assert 0.87 not in interval
    assert 0.94 not in interval
