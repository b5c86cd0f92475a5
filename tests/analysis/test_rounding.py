import numpy as np
import pandas as pd

from analysis.rounding import mean_of, tie_what_is_equal


def tied(*rows: list[float]) -> list[list[float]]:
    found: list[list[float]] = tie_what_is_equal(pd.DataFrame(list(rows))).to_numpy().tolist()
    return found


def test_ties_what_differs_in_the_last_places_only() -> None:
    assert tied([0.3, 0.1 + 0.2, 0.5]) == [[0.3, 0.3, 0.5]]
    assert tied([-0.3, -(0.1 + 0.2), 0.0]) == [[-(0.1 + 0.2), -(0.1 + 0.2), 0.0]]
    assert tied([1.0, 1.0 + 1e-12]) == [[1.0, 1.0 + 1e-12]]


def test_knows_a_difference_of_small_numbers_beside_a_large_one() -> None:
    assert tied([1e-300, 2e-300, 1.0]) == [[1e-300, 2e-300, 1.0]]
    assert tied([1.7e308, -1.7e308]) == [[1.7e308, -1.7e308]]
    assert tied([0.0, 5e-324]) == [[0.0, 5e-324]]


def test_each_domain_is_for_itself_and_gaps_stay() -> None:
    np.testing.assert_array_equal(
        tied([0.1 + 0.2, np.nan, 0.3], [np.nan, 0.3, np.nan]), [[0.3, np.nan, 0.3], [np.nan, 0.3, np.nan]]
    )


def test_the_order_of_distinct_scores_is_kept() -> None:
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 30)))
    pd.testing.assert_frame_equal(tie_what_is_equal(table), table)


def test_means_do_not_depend_on_the_order_and_do_not_overflow() -> None:
    assert mean_of([1e16, 1.0, -1e16]) == mean_of([1.0, 1e16, -1e16]) == 1 / 3
    assert mean_of([1.7e308, 1.7e308]) == 1.7e308
