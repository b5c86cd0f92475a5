"""Which episodes a target has room for."""

from __future__ import annotations

import pytest

from bdw.errors import InputError
from sweeps.runner.episode_designs import CANDIDATES, Design, Room, searched


def test_text_goes_both_ways() -> None:
    for design in CANDIDATES:
        assert Design.parse(str(design)) == design


@pytest.mark.parametrize(
    ("design", "fits"), [(Design(10, 5, 5), True), (Design(11, 5, 5), False), (Design(10, 5, 6), False)]
)
def test_fits(design: Design, fits: bool) -> None:
    assert Room(num_classes=10, smallest_class=10, num_images=100).fits(design) is fits


def test_searched_are_the_first_and_those_that_fit() -> None:
    found = searched(Design(2, 50, 10), Room(num_classes=10, smallest_class=12, num_images=120))
    assert found == (Design(2, 50, 10), Design(10, 5, 5), Design(10, 1, 5), Design(5, 5, 5))
    assert searched(Design(10, 5, 5), Room(10, 100, 1000)).count(Design(10, 5, 5)) == 1


def test_cut_down_to_what_there_is() -> None:
    assert Room(2, 100, 200).largest_within(Design(10, 10, 10)) == Design(2, 10, 10)
    assert Room(200, 14, 2800).largest_within(Design(10, 10, 10)) == Design(10, 7, 7)
    assert Room(10, 20, 200).largest_within(Design(10, 10, 10)) == Design(10, 10, 10)
    with pytest.raises(InputError, match="a class has 1 training images"):
        Room(10, 1, 20).largest_within(Design(10, 5, 5))
