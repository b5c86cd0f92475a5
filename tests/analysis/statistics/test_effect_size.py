import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import effect_sizes
from analysis.errors import MissingCellsError, OptionError
from analysis.statistics.effect_size import hodges_lehmann, mean_differences, rank_biserial


def random_table(seed: int, num_domains: int = 9, num_methods: int = 4) -> pd.DataFrame:
    values = np.random.default_rng(seed).normal(size=(num_domains, num_methods))
    return pd.DataFrame(values + np.arange(num_methods) / 2, columns=[f"m{i}" for i in range(num_methods)])


def sizes_of(differences: list[float], **options: Any) -> pd.Series:
    table = pd.DataFrame({"a": np.asarray(differences, dtype=float), "b": 0.0})
    found = effect_sizes(table, **{"higher_is_better": True, "num_resamples": 50, **options})
    assert len(found) == 1
    return found.iloc[0]


def once(statistic: Any, differences: Any) -> float:
    """The statistic of one sample that holds every difference once."""
    values = np.asarray(differences, dtype=float)
    return float(statistic(values, np.ones((1, len(values)), dtype=int))[0])


def walsh_median(sample: np.ndarray) -> float:
    return float(np.median([(a + b) / 2 for a, b in itertools.combinations_with_replacement(sample, 2)]))


def by_signed_ranks(sample: np.ndarray) -> float:
    nonzero = sample[sample != 0]
    ranks = stats.rankdata(np.abs(nonzero))
    return float((ranks * np.sign(nonzero)).sum() / ranks.sum()) if len(nonzero) > 0 else 0.0


def test_hollander_and_wolfes_example() -> None:
    # Hollander and Wolfe, Nonparametric Statistical Methods, example 3.1 (Hamilton depression scale, nine patients):
    # the estimate of R's wilcox.test(x, y, paired = TRUE, conf.int = TRUE) is 0.46, V = 40 of a rank sum of 45.
    before = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
    after = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
    found = effect_sizes(pd.DataFrame({"before": before, "after": after}), higher_is_better=True, num_resamples=50)
    row = found.iloc[0]
    assert (row["first"], row["second"]) == ("before", "after")
    assert row["hodges_lehmann"] == pytest.approx(0.46, abs=1e-9)
    assert row["rank_biserial"] == pytest.approx((40 - 5) / 45)
    assert (row["wins"], row["ties"], row["losses"]) == (7, 0, 2)
    assert row["mean_difference"] == pytest.approx(np.mean(before) - np.mean(after))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("whole_numbers", [False, True])
def test_statistics_of_samples_with_repeats(seed: int, whole_numbers: bool) -> None:
    generator = np.random.default_rng(seed)
    size = int(generator.integers(2, 12))
    differences = generator.integers(-3, 4, size=size) if whole_numbers else generator.normal(size=size)
    counts = generator.multinomial(size, np.full(size, 1 / size), size=20)
    for statistic, oracle in (
        (mean_differences, np.mean),
        (hodges_lehmann, walsh_median),
        (rank_biserial, by_signed_ranks),
    ):
        expected = [oracle(np.repeat(differences, row)) for row in counts]
        np.testing.assert_allclose(statistic(differences.astype(float), counts), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_rank_biserial_is_the_signed_rank_statistic_rescaled(seed: int) -> None:
    differences = np.random.default_rng(seed).integers(-4, 6, size=12).astype(float)
    nonzero = int((differences != 0).sum())
    one_sided = stats.wilcoxon(differences, zero_method="wilcox", alternative="greater", method="approx")
    total = nonzero * (nonzero + 1) / 2
    assert once(rank_biserial, differences) == pytest.approx(2 * one_sided.statistic / total - 1, abs=1e-12)


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([1, 2, 3], 1),
        ([-1, -2, -3], -1),
        ([1, -2, 3, -4], (1 - 2 + 3 - 4) / 10),
        ([0, 0, 2, -1], (2 - 1) / 3),
        ([1, -1, 2], (1.5 - 1.5 + 3) / 6),
        ([0, 0, 0], 0),
    ],
)
def test_rank_biserial_by_hand(differences: list[float], expected: float) -> None:
    assert once(rank_biserial, differences) == pytest.approx(expected)


def t_corrected_level(num_domains: int, confidence: float) -> float:
    """Level at which to cut, by Hesterberg 2015: with the tail Phi(sqrt(n/(n-1)) t_{alpha/2, n-1}) on either side."""
    t = stats.t(num_domains - 1).ppf((1 - confidence) / 2)
    return 1 - 2 * float(stats.norm.cdf(t * np.sqrt(num_domains / (num_domains - 1))))


@pytest.mark.parametrize("confidence", [0.95, 0.8])
@pytest.mark.parametrize(
    ("name", "statistic"),
    [("mean_difference", np.mean), ("hodges_lehmann", walsh_median), ("rank_biserial", by_signed_ranks)],
)
def test_intervals_are_scipys(name: str, statistic: Any, confidence: float) -> None:
    table = random_table(1)
    found = effect_sizes(table, higher_is_better=True, confidence=confidence, num_resamples=500, seed=7)
    for row in found.to_dict("records"):
        differences = (table[row["first"]] - table[row["second"]]).to_numpy()
        oracle = stats.bootstrap(
            (differences,),
            statistic,
            vectorized=False,
            n_resamples=500,
            confidence_level=t_corrected_level(len(table), confidence),
            method="percentile",
            rng=np.random.default_rng(7),
        )
        low, high = oracle.confidence_interval
        assert row[f"{name}_low"] == pytest.approx(low, abs=1e-10)
        assert row[f"{name}_high"] == pytest.approx(high, abs=1e-10)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(250):
        row = sizes_of((0.5 + generator.normal(size=10)).tolist(), num_resamples=200)
        sign = 1 if row["first"] == "a" else -1
        hits += row["mean_difference_low"] <= 0.5 * sign <= row["mean_difference_high"]
    # 0.95 less what the correction misses, and within four standard errors of a share of 250.
    assert hits / 250 == pytest.approx(0.945, abs=0.055)


def test_pairs_direction_and_counts() -> None:
    table = random_table(3)
    found = effect_sizes(table, higher_is_better=True, num_resamples=100)
    assert list(zip(found["first"], found["second"], strict=True)) == list(
        itertools.combinations(["m3", "m2", "m1", "m0"], 2)
    )
    for row in found.itertuples():
        assert row.wins == (table[row.first] > table[row.second]).sum()
        assert row.wins + row.ties + row.losses == len(table)
        assert row.mean_difference_low <= row.mean_difference <= row.mean_difference_high
    mirrored = effect_sizes(-table, higher_is_better=False, num_resamples=100)
    pd.testing.assert_frame_equal(found, mirrored)


def test_the_unit_is_the_scores() -> None:
    table = random_table(3)
    one, hundred = (effect_sizes(factor * table, higher_is_better=True, num_resamples=100) for factor in (1, 100))
    for name in ("mean_difference", "mean_difference_low", "hodges_lehmann", "hodges_lehmann_high"):
        np.testing.assert_allclose(100 * one[name], hundred[name], rtol=1e-9)
    pd.testing.assert_series_equal(one["rank_biserial_low"], hundred["rank_biserial_low"])


def test_equal_differences_tie_whatever_their_rounding() -> None:
    table = pd.DataFrame({"a": [5.01, 0.30, 0.81], "b": [5.00, 0.31, 0.80]})
    assert abs(5.01 - 5.00) != abs(0.30 - 0.31)
    row = effect_sizes(table, higher_is_better=True, num_resamples=10).iloc[0]
    assert row["rank_biserial"] == pytest.approx(1 / 3, abs=1e-12)


def test_seeds_are_averaged_and_never_resampled() -> None:
    table = random_table(5)
    rows = [
        {"method": m, "domain": f"d{d}", "seed": s, "metric": "accuracy", "value": table.at[d, m] + s - 1}
        for d, m, s in itertools.product(table.index, table.columns, range(3))
    ]
    from_long = effect_sizes(pd.DataFrame(rows), higher_is_better=True, num_resamples=100)
    pd.testing.assert_frame_equal(from_long, effect_sizes(table, higher_is_better=True, num_resamples=100), atol=1e-12)


def test_the_seed_decides_the_intervals_alone() -> None:
    table = random_table(5)
    one, same, other = (effect_sizes(table, higher_is_better=True, num_resamples=100, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, same)
    assert (one["mean_difference_low"] != other["mean_difference_low"]).any()
    pd.testing.assert_series_equal(one["mean_difference"], other["mean_difference"])


def test_all_domains_tied() -> None:
    table = pd.DataFrame({"a": [0.5, 0.6], "b": [0.5, 0.6], "c": [0.1, 0.2]})
    row = effect_sizes(table, higher_is_better=True, num_resamples=10).iloc[0]
    assert (row["first"], row["second"], row["ties"]) == ("a", "b", 2)
    assert (row["mean_difference"], row["rank_biserial_low"], row["rank_biserial_high"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confidence": 95}, "confidence: 95; allowed: between 0 and 1"),
        ({"confidence": True}, "confidence: True"),
        ({"num_resamples": 0}, "num_resamples: 0; allowed: a whole number of at least 1"),
        ({"seed": -1}, "seed: -1"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        sizes_of([1.0, 2.0], **options)


def test_missing_cells_are_refused() -> None:
    with pytest.raises(MissingCellsError):
        sizes_of([1.0, float("nan")])
