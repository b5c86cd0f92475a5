import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from analysis import describe_pairs, wilcoxon_holm
from analysis.errors import MissingCellsError, OptionError


def random_table(seed: int, num_domains: int = 12, num_methods: int = 5, effect: float = 0.0) -> pd.DataFrame:
    values = np.random.default_rng(seed).normal(size=(num_domains, num_methods)) + effect * np.arange(num_methods)
    return pd.DataFrame(values, columns=[f"m{i}" for i in range(num_methods)])


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_scipy_and_statsmodels(seed: int) -> None:
    table = random_table(seed, effect=0.5)
    found = wilcoxon_holm(table, higher_is_better=True)
    pairs = list(combinations(table.columns, 2))
    raw = [stats.wilcoxon(table[a], table[b], method="exact").pvalue for a, b in pairs]
    adjusted = multipletests(raw, method="holm")[1]
    for (a, b), p, q in zip(pairs, raw, adjusted, strict=True):
        assert found.p_values.at[a, b] == found.p_values.at[b, a] == pytest.approx(p, abs=1e-12)
        assert found.adjusted_p_values.at[a, b] == found.adjusted_p_values.at[b, a] == pytest.approx(q, abs=1e-12)
        assert found.differs(a, b) == (q < 0.05)
        assert found.rank_sums.at[a, b] + found.rank_sums.at[b, a] == 12 * 13 / 2
    assert (np.diag(found.p_values) == 1).all()


def test_direction_decides_whose_ranks_are_counted() -> None:
    table = pd.DataFrame({"good": np.arange(8) + 1.0, "bad": np.zeros(8)})
    assert wilcoxon_holm(table, higher_is_better=True).rank_sums.at["good", "bad"] == 36
    assert wilcoxon_holm(table, higher_is_better=False).rank_sums.at["bad", "good"] == 36
    text = describe_pairs(wilcoxon_holm(table, higher_is_better=True))
    assert text.split("\n") == [
        "Wilcoxon signed-rank with Holm over 1 pair: 1 difference shown at alpha = 0.05.",
        "good beats bad (p = 0.0078; 8 domains).",
    ]


def test_pairs_use_their_common_domains() -> None:
    table = random_table(3, num_methods=3)
    table.iloc[0, 0] = table.iloc[1, 0] = table.iloc[2, 1] = np.nan
    with pytest.raises(MissingCellsError, match="3 of 36"):
        wilcoxon_holm(table, higher_is_better=True)
    found = wilcoxon_holm(table, higher_is_better=True, missing="common domains")
    assert found.num_domains.to_numpy().tolist() == [[10, 9, 10], [9, 11, 11], [10, 11, 12]]
    both = table[["m0", "m1"]].dropna()
    assert found.p_values.at["m0", "m1"] == pytest.approx(stats.wilcoxon(both["m0"], both["m1"]).pvalue)
    assert wilcoxon_holm(table, higher_is_better=True, missing="drop domains").num_domains.at["m0", "m1"] == 9


def test_a_pair_without_a_common_domain_shows_nothing() -> None:
    table = pd.DataFrame({"a": [1, 2, None, None], "b": [2, 3, 4, 5], "c": [None, None, 1, 2]}, dtype=float)
    found = wilcoxon_holm(table, higher_is_better=True, missing="common domains")
    assert found.num_domains.at["a", "c"] == 0
    assert found.p_values.at["a", "c"] == 1


def test_is_json_with_one_entry_a_pair() -> None:
    found = wilcoxon_holm(random_table(0), higher_is_better=True)
    read = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert len(read["pairs"]) == 10
    assert read["pairs"][0]["p_value"] == found.p_values.at["m0", "m1"]
    assert read["pairs"][0]["methods"] == ["m0", "m1"]


def test_twins_differ_from_others_alike_and_not_from_each_other() -> None:
    table = random_table(4, effect=1)
    found = wilcoxon_holm(table.assign(twin=table["m2"]), higher_is_better=True)
    assert found.p_values.at["m2", "twin"] == 1
    for other in ("m0", "m1", "m3", "m4"):
        assert found.p_values.at["m2", other] == found.p_values.at["twin", other]
    # The tests of single pairs do not know who else was compared.
    alone = wilcoxon_holm(table, higher_is_better=True)
    pd.testing.assert_frame_equal(found.p_values.loc[table.columns, table.columns], alone.p_values)


def test_bad_options_are_refused() -> None:
    with pytest.raises(OptionError, match="missing: 'skip'; allowed: 'error', 'drop domains'"):
        wilcoxon_holm(random_table(0), higher_is_better=True, missing="skip")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="alpha: 2"):
        wilcoxon_holm(random_table(0), higher_is_better=True, alpha=2)
    with pytest.raises(OptionError, match="method: 'x' was not compared; allowed: m0, m1"):
        wilcoxon_holm(random_table(0), higher_is_better=True).differs("m0", "x")
