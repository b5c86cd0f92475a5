"""Table 2 from a results table: numbers, ranks, designs in words, and the diagram of fine-tuning."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from bdw.config import presets
from sweeps.results import table_2
from sweeps.runner.comparison import Cell
from sweeps.runner.episode_designs import Design

SCORES = {"RotNet": (0.50, 0.60, 0.10), "BDW": (0.55, 0.61, 0.30), "DW": (0.40, 0.62, 0.05)}
DOMAINS = ("dtd", "gtsrb", "omniglot")


def results(metric: str = "accuracy") -> pd.DataFrame:
    """Two seeds, 0.01 below and above."""
    rows = [
        {
            "method": method, "domain": domain, "seed": seed, "metric": metric, "value": value + (-0.01, 0.01)[seed],
            "higher_is_better": True,
        }
        for method, values in SCORES.items()
        for domain, value in zip(DOMAINS, values, strict=True)
        for seed in (0, 1)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_accuracies_stand_above_average_ranks_and_the_papers(tmp_path: Path) -> None:
    table_2.write_tables(results(), tmp_path, ["A remark."])
    text = (tmp_path / "table_2.md").read_text()
    lines = text.splitlines()
    assert "over 2 seeds" in lines[0]
    assert "A remark." in lines
    assert "| target | RotNet | BDW | DW |" in lines
    assert "| dtd | 50.0 ± 1.4 | 55.0 ± 1.4 | 40.0 ± 1.4 |" in lines
    # By hand: RotNet is 2nd, 3rd, 2nd; BDW 1st, 2nd, 1st; DW 3rd, 1st, 3rd.
    assert "| average rank | 2.33 | 1.33 | 2.33 |" in lines
    assert "| paper's average rank | 3.60 | 1.40 | – |" in lines
    written = pd.read_csv(tmp_path / "table_2.csv").set_index(["method", "domain"])
    assert written.loc[("BDW", "omniglot"), "mean"] == pytest.approx(0.30)


def test_gaps_are_shown_and_nothing_is_ranked_then(tmp_path: Path) -> None:
    table = results()
    one_seed = (table["method"] == "DW") & (table["domain"] == "dtd") & (table["seed"] == 1)
    failed = (table["method"] == "BDW") & (table["domain"] == "gtsrb")
    table_2.write_tables(table[~one_seed & ~failed], tmp_path)
    text = (tmp_path / "table_2.md").read_text()
    assert "| dtd | 50.0 ± 1.4 | 55.0 ± 1.4 | 39.0 (1 seed) |" in text
    assert "| gtsrb | 60.0 ± 1.4 | – | 62.0 ± 1.4 |" in text
    assert "| average rank" not in text


def test_fine_tuning_has_a_table_and_a_diagram_of_its_own(tmp_path: Path) -> None:
    both = pd.concat([results(), results(table_2.FINE_TUNED)])
    table_2.write_tables(both, tmp_path)
    text = (tmp_path / "table_2.md").read_text()
    assert text.index("**Logistic regression**") < text.index("**Fine-tuned**")
    assert "| paper's average rank | 2.80 | 1.30 | – |" in text
    assert table_2.draw_fine_tuned(both, tmp_path, remark="") is None
    assert (tmp_path / "critical_difference_fine_tuned.png").stat().st_size > 5_000
    (entry,) = json.loads((tmp_path / "figures.json").read_text())["Fine-tuned"]
    assert entry["file"] == "critical_difference_fine_tuned.png"

    missing = table_2.draw_fine_tuned(results(), tmp_path, remark="")
    assert missing is not None
    assert missing.startswith("critical_difference_fine_tuned.png: 0 methods")
    assert not (tmp_path / "critical_difference_fine_tuned.png").exists()
    assert not (tmp_path / "figures.json").exists()


def test_designs_that_differ_are_named_and_why_if_they_were_cut_down() -> None:
    base = presets.build("visual_decathlon")
    fields = {"omniglot": Design(50, 2, 2).fields, "flowers": Design(20, 5, 3).fields}

    def cell(domain: str, design: Design) -> Cell:
        return Cell("BDW", domain, 0, base.replace(**design.fields), "run")

    own = [cell("dtd", Design(20, 5, 5)), cell("omniglot", Design(50, 2, 2)), cell("flowers", Design(20, 4, 4))]
    assert table_2.designs_in_words(base, fields, own) == (
        "Episodes: 20-way 5-shot 5-query; omniglot 50-way 2-shot 2-query; flowers 20-way 4-shot 4-query, "
        "the largest that fits instead of 20-way 5-shot 3-query."
    )


def test_every_measure_of_table_2_has_the_papers_accuracies() -> None:
    for measure, evaluation in table_2.PAPERS.items():
        assert table_2.paper_accuracies(evaluation).shape == (10, 4)
        assert measure in table_2.EVALUATIONS
