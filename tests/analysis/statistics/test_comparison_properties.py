"""What must hold for any table: order of rows and columns, scales of domains, twins."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import Comparison, compare


@st.composite
def tables(draw: st.DrawFn, min_methods: int = 3) -> pd.DataFrame:
    """Scores with many ties, in which some two methods differ somewhere."""
    num_domains, num_methods = draw(st.integers(2, 8)), draw(st.integers(min_methods, 6))
    rows = st.lists(st.integers(0, 6), min_size=num_methods, max_size=num_methods)
    values = draw(
        st.lists(rows, min_size=num_domains, max_size=num_domains).filter(
            lambda rows: any(len(set(row)) > 1 for row in rows)
        )
    )
    return pd.DataFrame(values, columns=[f"m{i}" for i in range(num_methods)], dtype=float)


def assert_same(one: Comparison, other: Comparison) -> None:
    pd.testing.assert_series_equal(one.average_ranks, other.average_ranks)
    assert one.friedman_statistic == pytest.approx(other.friedman_statistic)
    assert one.iman_davenport_p_value == pytest.approx(other.iman_davenport_p_value)
    assert one.critical_difference == other.critical_difference
    pd.testing.assert_frame_equal(one.nemenyi_p_values, other.nemenyi_p_values)
    assert one.cliques == other.cliques


@settings(max_examples=60, deadline=None)
@given(table=tables(), seed=st.integers(0, 1000))
def test_order_of_domains_and_methods_does_not_matter(table: pd.DataFrame, seed: int) -> None:
    shuffled = table.sample(frac=1, random_state=seed).sample(frac=1, axis=1, random_state=seed)
    assert_same(compare(table, higher_is_better=True), compare(shuffled, higher_is_better=True))


@settings(max_examples=60, deadline=None)
@given(table=tables(), data=st.data())
def test_each_domain_may_have_its_own_monotone_scale(table: pd.DataFrame, data: st.DataObject) -> None:
    one = compare(table, higher_is_better=True)
    stretched = table.copy()
    for domain in table.index:
        steps = data.draw(st.lists(st.floats(0.01, 1e3), min_size=7, max_size=7))
        stretched.loc[domain] = np.cumsum(steps)[table.loc[domain].astype(int)]
    assert_same(one, compare(stretched, higher_is_better=True))
    assert_same(one, compare(-stretched, higher_is_better=False))


@settings(max_examples=60, deadline=None)
@given(table=tables(min_methods=2), data=st.data())
def test_twins_tie_and_move_each_other_method_by_its_losses_to_them(table: pd.DataFrame, data: st.DataObject) -> None:
    twin = data.draw(st.sampled_from(list(table.columns)))
    before = compare(table, higher_is_better=True)
    after = compare(table.assign(twin=table[twin]), higher_is_better=True)
    assert after.average_ranks[twin] == after.average_ranks["twin"]
    assert after.average_ranks[twin] == pytest.approx(before.average_ranks[twin] + 0.5)
    assert after.nemenyi_p_values.at[twin, "twin"] == 1
    assert not after.differs(twin, "twin")
    assert all((twin in clique) == ("twin" in clique) for clique in after.cliques)
    assert any(twin in clique for clique in after.cliques)
    for other in table.columns.drop(twin):
        # The order of two others may change: average ranks depend on who else is there. But only by this much.
        lost = (table[twin] > table[other]).mean() + (table[twin] == table[other]).mean() / 2
        assert after.average_ranks[other] == pytest.approx(before.average_ranks[other] + lost)
