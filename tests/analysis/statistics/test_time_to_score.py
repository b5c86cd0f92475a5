from __future__ import annotations

import math

import pandas as pd
import pytest

from analysis import AnalysisInputError, time_to_score
from analysis.errors import ColumnsError, NotFiniteError, OptionError


def curves(runs: dict[tuple[str, str, int], list[tuple[float, float, float]]]) -> pd.DataFrame:
    """(method, domain, seed) -> rows of images, seconds, best score so far."""
    rows = [
        {"method": method, "domain": domain, "seed": seed, "instances_seen": images, "wall_seconds": seconds}
        | {"value": best, "best_value": best, "kept_fraction": 1.0, "budget_share": 0.5}
        for (method, domain, seed), own in runs.items()
        for images, seconds, best in own
    ]
    return pd.DataFrame(rows)


PLAIN = [(100, 10.0, 0.4), (200, 20.0, 0.6), (300, 30.0, 0.6)]
TWO = {
    ("plain", "x", 0): PLAIN,
    ("plain", "y", 0): PLAIN,
    ("fast", "x", 0): [(100, 15.0, 0.6), (200, 30.0, 0.7)],
    ("fast", "y", 0): [(50, 5.0, 0.5), (100, 10.0, 0.59)],
    ("odd", "z", 0): PLAIN,
}


def test_a_first_row_that_is_as_good_counts_as_it_is() -> None:
    found = time_to_score(curves(TWO), baseline="plain", higher_is_better=True)
    runs = found.runs.set_index(["method", "domain"])
    assert runs.loc[("fast", "x"), ["images", "seconds"]].tolist() == [100, 15.0]
    assert runs.loc[("fast", "x"), ["images_ratio", "seconds_ratio"]].tolist() == pytest.approx([3.0, 2.0])
    # The baseline's own best score stood after two thirds of its budget.
    assert runs.loc[("plain", "x"), "seconds_ratio"] == pytest.approx(1.5)
    assert runs.loc[("plain", "x"), "level"] == 0.6


@pytest.mark.parametrize("sign", [1, -1])
def test_between_rows_a_straight_line_is_drawn(sign: int) -> None:
    runs = {
        ("plain", "x", 0): [(100, 10.0, 0.4 * sign), (200, 20.0, 0.6 * sign)],
        ("fast", "x", 0): [(50, 8.0, 0.3 * sign), (90, 16.0, 0.7 * sign), (130, 20.0, 0.7 * sign)],
    }
    found = time_to_score(curves(runs), baseline="plain", higher_is_better=sign > 0).runs.set_index("method")
    # Three quarters of the way from its first row to its second.
    assert found.loc["fast", ["images", "seconds"]].tolist() == pytest.approx([80, 14.0])
    # The baseline reaches its own last score at its end, not before.
    assert found.loc["plain", ["images", "seconds"]].tolist() == [200, 20.0]


def test_what_is_never_reached_is_counted_and_is_infinite_in_the_median() -> None:
    found = time_to_score(curves(TWO), baseline="plain", higher_is_better=True)
    missed = found.runs.set_index(["method", "domain"]).loc[("fast", "y")]
    assert not missed["reached"]
    assert (missed["seconds"], missed["seconds_ratio"]) == (math.inf, 0.0)
    fast = found.summary.loc["fast"]
    assert (fast["num_runs"], fast["num_reached"], fast["share_reached"]) == (2, 1, 0.5)
    # The mean of a finite and an infinite time is infinite.
    assert fast["seconds_ratio"] == 0.0
    assert math.isnan(fast["seconds_low"])
    assert found.without_baseline == (("odd", "z", "0"),)
    assert "odd" not in found.summary.index


def test_seeds_are_repeats_and_domains_are_what_is_counted() -> None:
    runs = {("plain", "x", seed): PLAIN for seed in range(3)}
    runs |= {("fast", "x", seed): [(100 * (seed + 1), 5.0 * (seed + 1), 0.6)] for seed in range(3)}
    found = time_to_score(curves(runs), baseline="plain", higher_is_better=True).summary.loc["fast"]
    assert (found["num_domains"], found["seconds_ratio"], found["images_ratio"]) == (1, 3.0, 1.5)


def test_intervals_are_between_order_statistics_of_domains() -> None:
    runs = {("plain", f"d{i}", 0): PLAIN for i in range(10)}
    runs |= {("fast", f"d{i}", 0): [(10, 3.0 * (i + 1), 0.6)] for i in range(10)}
    found = time_to_score(curves(runs), baseline="plain", higher_is_better=True).summary.loc["fast"]
    assert found["seconds_ratio"] == pytest.approx(30 / 16.5)
    # The second and the ninth time of ten.
    assert found[["seconds_low", "seconds_high"]].tolist() == pytest.approx([30 / 27, 30 / 6])


def test_lower_may_be_better() -> None:
    flipped = curves(TWO).assign(best_value=lambda table: -table["best_value"])
    one = time_to_score(curves(TWO), baseline="plain", higher_is_better=True)
    other = time_to_score(flipped, baseline="plain", higher_is_better=False)
    pd.testing.assert_frame_equal(one.summary, other.summary)


def test_rows_in_any_order_are_the_same_runs() -> None:
    shuffled = curves(TWO).sample(frac=1, random_state=0)
    one = time_to_score(curves(TWO), baseline="plain", higher_is_better=True).summary
    other = time_to_score(shuffled, baseline="plain", higher_is_better=True).summary
    pd.testing.assert_frame_equal(one, other.loc[one.index])


def test_a_score_that_is_equal_but_for_rounding_is_reached() -> None:
    runs = {("plain", "x", 0): [(10, 1.0, 0.1 + 0.2)], ("other", "x", 0): [(5, 1.0, 0.3)]}
    assert time_to_score(curves(runs), baseline="plain", higher_is_better=True).summary.loc["other", "num_reached"] == 1


@pytest.mark.parametrize(
    ("table", "kind", "said"),
    [
        (curves(TWO).drop(columns="best_value"), ColumnsError, "best_value absent"),
        (curves(TWO).assign(method="a"), OptionError, "baseline: 'plain' is not among the methods; allowed: a"),
        (curves(TWO).assign(best_value=math.nan), NotFiniteError, "best_value: nan in row"),
        (curves(TWO).assign(wall_seconds=-1.0), OptionError, "wall_seconds: -1.0 in row"),
        (curves(TWO).assign(wall_seconds=0.0), OptionError, "wall_seconds: 0 in all for 'plain' on x"),
        (curves(TWO).assign(domain=""), ColumnsError, "domain: row 0"),
        (curves(TWO).iloc[:0], OptionError, "no row"),
    ],
)
def test_bad_tables_are_one_line(table: pd.DataFrame, kind: type[AnalysisInputError], said: str) -> None:
    with pytest.raises(kind, match=said):
        time_to_score(table, baseline="plain", higher_is_better=True)
