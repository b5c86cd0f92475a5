from __future__ import annotations

import pandas as pd
import pytest

from analysis import equal_budget_tables, time_to_score
from analysis.errors import OptionError


def results() -> pd.DataFrame:
    scores = {"plain": [0.5, 0.6, 0.7], "BDW": [0.52, 0.62, 0.75], "oracle": [0.9, 0.9, 0.9]}
    return pd.DataFrame(
        [
            {"method": method, "domain": f"d{i}", "seed": seed, "metric": "accuracy", "value": value + 0.01 * seed}
            | {"higher_is_better": True, "wall_seconds": 12.0, "instances_seen": 1000, "kept_fraction": 0.5}
            for method, values in scores.items()
            for i, value in enumerate(values)
            for seed in range(2)
        ]
    )


def curves() -> pd.DataFrame:
    rows = results()[lambda table: table["method"] != "oracle"]
    early = rows.assign(instances_seen=400, wall_seconds=5.0, best_value=rows["value"] - 0.02)
    return pd.concat([early, rows.assign(best_value=rows["value"])])


def test_an_oracle_competes_for_nothing_and_gains_are_paired() -> None:
    tables = equal_budget_tables(
        results(), baseline="plain", higher_is_better=True, percent=True, oracles=["oracle"],
        times=time_to_score(curves(), baseline="plain", higher_is_better=True),
    )  # fmt: skip
    frame = tables.methods.to_frame()
    assert frame.columns.tolist() == [
        *("mean", "gain over plain", "p", "better on", "sooner (seconds)", "sooner (images)", "reached (% of runs)"),
        *("seconds", "images", "kept (%)"),
    ]
    # By hand: gains of 2, 2 and 5 points; 3 ± 4.303 * sqrt(3) / sqrt(3).
    assert frame.loc["BDW"].tolist()[:4] == ["63.5", "+3.0 [−1.3, +7.3]", "0.095", "3 of 3"]
    assert frame.loc["BDW", "sooner (images)"] == "2.5×"
    assert frame.loc["plain"].tolist() == ["60.5", "–", "–", "–", "1.0×", "1.0×", "100", "12.0", "1,000", "50"]
    assert frame.loc["oracle", "sooner (seconds)"] == "–"
    assert tables.methods.best()["mean"].to_dict() == {"plain": False, "BDW": True, "oracle": False}
    assert tables.domains.best().loc["d0"].to_dict() == {"plain": False, "BDW": True, "oracle": False}
    assert tables.domains.to_frame().loc["average"].tolist() == ["60.5", "63.5", "90.5"]
    assert "oracle not counted" in tables.methods.note
    assert "oracle not counted" in tables.domains.note


def test_a_failed_cell_costs_no_table() -> None:
    table = results().drop(columns=["wall_seconds", "instances_seen", "kept_fraction"])
    table = table[~((table["method"] == "BDW") & (table["domain"] == "d2"))]
    tables = equal_budget_tables(table, baseline="plain", higher_is_better=True, percent=True, oracles=["oracle"])
    assert tables.methods.to_frame().loc["BDW"].tolist()[:1] == ["57.5"]
    assert tables.methods.to_frame().loc["BDW", "better on"] == "2 of 2"
    assert "the 2 of 3 domains that all completed" in tables.methods.note
    assert tables.gains["BDW"].num_domains == 2


def test_one_domain_has_neither_interval_nor_average() -> None:
    table = results()[lambda rows: rows["domain"] == "d0"]
    tables = equal_budget_tables(table, baseline="plain", higher_is_better=True, percent=True)
    assert "p" not in tables.methods.columns
    assert tables.methods.to_frame().loc["BDW", "gain over plain"] == "+2.0"
    assert tables.domains.to_frame().index.tolist() == ["d0"]


def test_html_and_markdown_hold_the_same_numbers() -> None:
    tables = equal_budget_tables(results(), baseline="plain", higher_is_better=True, percent=True)
    html = tables.domains.to_html()
    assert "<td><strong>90.5</strong> ± 0.7</td>" in html
    assert "**90.5** ± 0.7" in tables.domains.to_markdown()
    evil = equal_budget_tables(
        results().replace({"method": {"BDW": "<b>"}}), baseline="plain", higher_is_better=True
    ).methods.to_html()
    assert "<b>" not in evil
    assert "&lt;b&gt;" in evil


def test_unknown_methods_are_refused() -> None:
    with pytest.raises(OptionError, match="methods: x not in the table; allowed: plain, BDW, oracle"):
        equal_budget_tables(results(), baseline="x", higher_is_better=True)
