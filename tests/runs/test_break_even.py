"""What weighting costs and pruning saves, against times that are known beforehand."""

from __future__ import annotations

import pytest

from bdw.runs import break_even
from bdw.runs.break_even import NOTHING_YET, BreakEven


def test_the_balance_is_that_of_a_run_with_known_costs() -> None:
    """1,000 images at 2 ms each; a learning epoch costs as much again for the weights; then three quarters go."""
    first = NOTHING_YET.after(seconds=4.0, weighting_seconds=2.0, trained_fraction=1.0)
    assert first == BreakEven(spent=2.0, saved=0.0)
    second = first.after(seconds=1.0, weighting_seconds=0.5, trained_fraction=0.25)
    assert second.spent == pytest.approx(2.5)
    assert second.saved == pytest.approx(750 * 0.002)
    third = second.after(seconds=0.5, weighting_seconds=0.0, trained_fraction=0.25)
    assert third == BreakEven(pytest.approx(2.5), pytest.approx(3.0))


def test_a_part_of_an_epoch_saves_its_share() -> None:
    whole = NOTHING_YET.after(8.0, 2.0, 0.4)
    half = NOTHING_YET.after(4.0, 1.0, 0.4)
    assert half.saved == pytest.approx(whole.saved / 2)


@pytest.mark.parametrize(
    ("spent", "saved", "words"),
    [
        (0.0, 0.0, ""),
        (12.34, 0.0, "weighting 12.3 s, pruning saved 0.0 s: 12.3 s short of breaking even"),
        (12.0, 2012.5, "weighting 12.0 s, pruning saved 2,012.5 s: 2,000.5 s gained"),
        (0.0, 3.0, "weighting 0.0 s, pruning saved 3.0 s: 3.0 s gained"),
    ],
)
def test_the_verdict_says_what_remains(spent: float, saved: float, words: str) -> None:
    assert break_even.verdict(spent, saved) == words
    assert words.startswith(break_even.in_words(spent, saved))
