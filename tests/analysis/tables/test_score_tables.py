from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis import compare, score_tables, summarise
from analysis.errors import (
    AnalysisInputError,
    DirectionError,
    DuplicateError,
    MetricError,
    NotFiniteError,
    NotNumericError,
    OptionError,
)
from analysis.tables.number_text import are_best, number_text, sensible_decimals


def long_table(values: dict[tuple[str, str], list[float]], metric: str = "loss", up: bool = False) -> pd.DataFrame:
    rows = [
        {"method": m, "domain": d, "seed": s, "metric": metric, "value": value, "higher_is_better": up}
        for (m, d), own in values.items()
        for s, value in enumerate(own)
    ]
    return pd.DataFrame(rows)


LOSSES = {
    ("VAE", "mnist"): [209.5, 210.1],
    ("BDW", "mnist"): [192.2, 193.0],
    ("VAE", "kmnist"): [306.0, 307.0],
    ("BDW", "kmnist"): [302.0, 303.4],
}


def test_means_spread_and_best() -> None:
    table = score_tables(long_table(LOSSES), higher_is_better=False, average=True)
    frame = table.to_frame()
    assert frame.columns.tolist() == ["mnist", "kmnist", "average", "average rank"]
    # Sample deviations: 0.6 / sqrt 2 = 0.42, 0.57, 0.71, 0.99; two digits of the typical one are two decimals.
    assert frame.loc["VAE"].tolist() == ["209.80 ± 0.42", "306.50 ± 0.71", "258.15", "2.00"]
    assert frame.loc["BDW"].tolist() == ["192.60 ± 0.57", "302.70 ± 0.99", "247.65", "1.00"]
    assert table.best().loc["BDW"].all()
    assert not table.best().loc["VAE"].any()
    assert table.note == (
        "Mean ± sample standard deviation over 2 seeds; lower is better. Bold: the best mean before rounding, whatever "
        "its significance."
    )


def test_domains_down_is_the_same_table_turned() -> None:
    across, down = (
        score_tables(long_table(LOSSES), higher_is_better=False, domains_down=turned) for turned in (False, True)
    )
    assert down.to_frame().to_numpy().T.tolist() == across.to_frame().to_numpy().tolist()
    assert down.best().to_numpy().T.tolist() == across.best().to_numpy().tolist()
    assert (across.corner, down.corner) == ("method", "domain")


def test_best_is_decided_before_rounding_and_ties_are_all_bold() -> None:
    wide = pd.DataFrame({"a": [0.81234, 0.5], "b": [0.81233, 0.5], "c": [0.7, 0.4]}, index=["x", "y"])
    table = score_tables(wide, higher_is_better=True, percent=True)
    assert table.to_frame()["x"].tolist() == ["81.2", "81.2", "70.0"]
    assert table.best()["x"].tolist() == [True, False, False]
    assert table.best()["y"].tolist() == [True, True, False]
    assert table.to_frame()["average rank"].tolist() == ["1.25", "1.75", "3.00"]
    assert table.note.startswith("One seed, in %; higher is better.")


def test_seeds_in_another_order_tie() -> None:
    values = {("a", "x"): [0.1, 0.2, 0.3], ("b", "x"): [0.3, 0.1, 0.2], ("a", "y"): [1.0] * 3, ("b", "y"): [2.0] * 3}
    table = score_tables(long_table(values), higher_is_better=False)
    assert table.best()["x"].all()
    assert table.to_frame()["average rank"].tolist() == ["1.25", "1.75"]


@pytest.mark.parametrize("up", [True, False])
def test_average_ranks_are_those_of_compare(up: bool) -> None:
    wide = pd.DataFrame(np.random.default_rng(0).integers(0, 9, size=(7, 5)), columns=list("abcde")).astype(float)
    ranks = compare(wide, higher_is_better=up).average_ranks
    shown = score_tables(wide, higher_is_better=up).to_frame()["average rank"]
    assert {method: f"{rank:.2f}" for method, rank in ranks.items()} == shown.to_dict()


def test_missing_cells_are_dashes_and_there_are_no_averages() -> None:
    values = {cell: own for cell, own in LOSSES.items() if cell != ("BDW", "kmnist")}
    table = score_tables(long_table(values), higher_is_better=False, average=True)
    assert table.to_frame().loc["BDW"].tolist() == ["192.60 ± 0.57", "–"]
    assert table.best().loc["VAE"].tolist() == [False, True]
    assert table.note.endswith("–: not measured.")
    wide = pd.DataFrame({"a": [1.0, np.nan], "b": [2.0, 3.0]}, index=["x", "y"])
    assert score_tables(wide, higher_is_better=True).to_frame().loc["a"].tolist() == ["1.000", "–"]


def test_fewer_seeds_are_said() -> None:
    values = {**LOSSES, ("BDW", "mnist"): [192.6]}
    assert score_tables(long_table(values), higher_is_better=False).to_frame().at["BDW", "mnist"] == "192.60 (1 seed)"


def test_two_evaluations_are_two_sections_over_the_same_columns() -> None:
    probe = {("a", "x"): [0.5], ("b", "x"): [0.6], ("a", "y"): [0.7], ("b", "y"): [0.6]}
    tuned = {("a", "x"): [0.9], ("b", "x"): [0.8]}
    results = pd.concat([long_table(probe, "accuracy", up=True), long_table(tuned, "tuned", up=True)])
    table = score_tables(
        results, higher_is_better=True, metric={"accuracy": "Probe", "tuned": "Fine-tuned"}, percent=True
    )
    frame, best = table.to_frame(), table.best()
    assert frame.columns.tolist() == ["x", "y", "average rank"]
    assert frame.loc[("Probe", "a")].tolist() == ["50.0", "70.0", "1.50"]
    assert frame.loc[("Fine-tuned", "a")].tolist() == ["90.0", "–", "–"]
    assert best["x"].tolist() == [False, True, True, False]
    down = score_tables(results, higher_is_better=True, metric={"accuracy": "P", "tuned": "F"}, domains_down=True)
    assert [(section.title, [name for name, _ in section.rows]) for section in down.sections] == [
        ("P", ["x", "y", "average rank"]),
        ("F", ["x", "average rank"]),
    ]


def test_one_domain_has_no_average_rank() -> None:
    table = score_tables(pd.DataFrame({"a": [1.0], "b": [2.0]}, index=["x"]), higher_is_better=True)
    assert table.columns == ("x",)


@pytest.mark.parametrize(
    ("means", "deviations", "expected"),
    [
        ([200.0], [0.42], 2),
        ([0.853], [0.012], 3),
        ([200.0], [12.0], 0),
        ([200.0], [1.2], 1),
        ([200.0], [], 1),
        ([0.853], [], 4),
        ([12345.0], [0.0], 0),
        ([0.0], [], 0),
        ([1e-9], [1e-12], 6),
        ([], [], 0),
    ],
)
def test_sensible_decimals(means: list[float], deviations: list[float], expected: int) -> None:
    assert sensible_decimals(means, deviations) == expected


def test_numbers() -> None:
    assert [number_text(value, 1) for value in (-0.04, -0.06, 1234.56, 0.0)] == ["0.0", "−0.1", "1,234.6", "0.0"]
    nan = float("nan")
    assert are_best([nan, 0.1 + 0.2, 0.3, 0.1], higher_is_better=True) == [False, True, True, False]
    assert are_best([nan], higher_is_better=True) == [False]


GOOD = long_table(LOSSES)


@pytest.mark.parametrize(
    ("table", "options", "error", "message"),
    [
        (GOOD, {"higher_is_better": True}, DirectionError, "True was asked for, but the table says False"),
        (GOOD, {"higher_is_better": "no"}, OptionError, "higher_is_better: 'no'; allowed: True, False"),
        (GOOD, {"metric": "f1"}, MetricError, "'f1' is not in the table; present: loss"),
        (GOOD, {"metric": {}}, OptionError, "metric: none of them"),
        (GOOD, {"decimals": -1}, OptionError, "decimals: -1"),
        (GOOD.assign(domain="average rank"), {}, DuplicateError, "more than once"),
        (
            GOOD.assign(domain=GOOD["domain"].replace("mnist", "average rank")),
            {},
            OptionError,
            "domains: average rank is what the averages are called",
        ),
        (pd.DataFrame({"a": [1.0]}), {"metric": "loss"}, OptionError, "wide table names no metric"),
        (pd.DataFrame({"a": ["x"]}), {}, NotNumericError, r"scores: 'x' in cell \(a, 0\)"),
        (pd.DataFrame({"a": [np.inf]}), {}, NotFiniteError, "inf in cell"),
        (pd.DataFrame({"a": [np.nan]}), {}, NotFiniteError, "no cell with a number"),
        ([[1]], {}, AnalysisInputError, "list; allowed: a pandas DataFrame"),
    ],
)
def test_bad_input_is_refused(
    table: pd.DataFrame, options: dict[str, Any], error: type[ValueError], message: str
) -> None:
    with pytest.raises(error, match=message):
        score_tables(table, **{"higher_is_better": False, **options})


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_very_large_and_very_small_scores_have_deviations(scale: float) -> None:
    summary = summarise(
        pd.DataFrame({"method": "a", "domain": "d", "seed": [0, 1, 2], "metric": "x", "value": np.r_[1, 2, 4] * scale}),
        "x",
    ).iloc[0]
    assert summary["mean"] / scale == pytest.approx(7 / 3)
    assert summary["standard_deviation"] / scale == pytest.approx(np.std([1, 2, 4], ddof=1))


def test_what_ties_for_compare_is_bold_together_and_shares_a_rank() -> None:
    table = score_tables(pd.DataFrame({"a": [0.1 + 0.2] * 2, "b": [0.3] * 2, "c": [0.2] * 2}), higher_is_better=True)
    assert table.best().loc[["a", "b"]].to_numpy().all()
    assert table.to_frame()["average rank"].tolist() == ["1.50", "1.50", "3.00"]


def test_very_small_numbers_do_not_all_look_like_zero() -> None:
    table = score_tables(pd.DataFrame({"a": [2.5e-9], "b": [-1.25e-8]}), higher_is_better=True)
    assert table.to_frame().iloc[:, 0].tolist() == ["2.500e−09", "−1.250e−08"]
    assert number_text(1.5e300, 0) == "1.500e+300"


def test_who_does_not_compete_is_never_bold() -> None:
    table = score_tables(long_table(LOSSES), higher_is_better=False, average=True, not_competing=["BDW"])
    assert not table.best().loc["BDW"].any()
    assert table.best().loc["VAE"].all()
    assert "BDW not counted" in table.note
    with pytest.raises(OptionError, match="not_competing: x not in the table; allowed: VAE, BDW"):
        score_tables(long_table(LOSSES), higher_is_better=False, not_competing=["x"])
