from __future__ import annotations

import math

import pytest

from bdw.report import wording


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.0 s"),
        (9.54, "9.5 s"),
        (100, "1 min 40 s"),
        (3599.6, "1 h 0 min"),
        (12000, "3 h 20 min"),
        (9e6, "2,500 h 0 min"),
    ],
)
def test_seconds(value: float, text: str) -> None:
    assert wording.seconds(value) == text


def test_unknown_numbers_are_a_dash() -> None:
    functions = (wording.percent, wording.count, wording.ratio, wording.weight, wording.number, wording.seconds)
    assert {function(math.nan) for function in functions} == {wording.UNKNOWN}


def test_numbers() -> None:
    assert wording.percent(0.8125) == "81.2 %"
    assert wording.count(12345.0) == "12,345"
    assert (wording.ratio(0.5), wording.weight(0.5)) == ("0.500", "0.5000")
    assert [wording.number(x) for x in (0.1, 1e-5, 10.0)] == ["0.1", "1e-05", "10"]
    assert [wording.plural(n, "image") for n in (0, 1, 2000)] == ["0 images", "1 image", "2,000 images"]


@pytest.mark.parametrize(
    ("spread", "text"),
    [
        (1.0, "0.5000"),
        (0.01, "0.5000"),
        (0.009, "0.50001"),
        (2e-5, "0.5000123"),
        (1e-12, "0.500012346"),
        (0.0, "0.5000"),
    ],
)
def test_a_weight_has_the_digits_in_which_weights_differ(spread: float, text: str) -> None:
    assert wording.weight(0.500012346, spread) == text
