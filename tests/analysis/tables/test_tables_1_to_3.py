from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis import compare, paper_losses, table_1, table_2, table_3
from analysis.errors import ColumnsError, DuplicateError, MetricError, OptionError


def results_of(metric: str, values: dict[str, list[float]], domains: list[str], up: bool) -> pd.DataFrame:
    """Two seeds, 0.5 % below and above the value."""
    rows = [
        {
            "method": method, "domain": domain, "seed": seed, "metric": metric,
            "value": value * (0.995 + 0.01 * seed), "higher_is_better": up, "wall_seconds": 40.0 + seed,
            "instances_seen": 1000, "kept_fraction": 0.25, "run": f"runs/{method}",
        }
        for method, own in values.items()
        for domain, value in zip(domains, own, strict=True)
        for seed in (0, 1)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_table_1_from_the_papers_numbers() -> None:
    wide = paper_losses().pivot(index="method", columns="domain", values="value")
    domains = ["mnist", "fashion-mnist", "kmnist"]
    values = {str(method): [float(wide.at[method, d]) for d in domains] for method in ("Oracle", "VAE", "DW", "BDW")}
    table = table_1(results_of("pretext_loss", values, domains, up=False))
    frame, best = table.to_frame(), table.best()
    assert frame.columns.tolist() == domains
    assert [text.split(" ")[0] for text in frame.loc["BDW"]] == ["192.6", "171.1", "302.7"]
    # Half a percent either way: sample deviation 0.01 x 178.95 / sqrt 2.
    assert frame.at["Oracle", "mnist"] == "178.9 ± 1.3"
    assert best.loc["Oracle"].all()
    assert best.to_numpy().sum() == 3


def accuracies(metric: str, seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    domains = [f"domain {i}" for i in range(10)]
    values = {method: generator.uniform(0.3, 0.9, size=10).tolist() for method in ("RotNet", "L2RW", "BDW")}
    return results_of(metric, values, domains, up=True)


def test_table_2_has_both_evaluations_and_the_ranks_of_compare() -> None:
    probe, tuned = accuracies("accuracy", 0), accuracies("fine_tuned_accuracy", 1)
    validation = probe.assign(metric="validation_accuracy", value=0.0)
    frame = table_2(pd.concat([validation, tuned, probe])).to_frame()
    assert frame.index.get_level_values("section").unique().tolist() == ["Logistic regression", "Fine-tuned"]
    for title, rows in (("Logistic regression", probe), ("Fine-tuned", tuned)):
        ranks = compare(rows, higher_is_better=True).average_ranks
        shown = frame.loc[title, "average rank"]
        assert {method: f"{rank:.2f}" for method, rank in ranks.items()} == shown.to_dict()
        mean = 100 * rows[(rows["method"] == "BDW") & (rows["domain"] == "domain 3")]["value"].mean()
        assert str(frame.loc[(title, "BDW"), "domain 3"]).startswith(f"{mean:.1f} ± ")
    alone = table_2(probe, domains_down=True)
    assert (alone.columns, len(alone.sections)) == (("RotNet", "L2RW", "BDW"), 1)


def trials() -> pd.DataFrame:
    """As sweeps write trials.csv: two cells of the paper's with two seeds, a proposal, a pruned trial, a baseline."""
    rows = []
    for eta, rho, cdf, accuracy, kept, seconds, state in [
        (10.0, 0.5, 0.1, 0.80, 0.20, 100.0, "complete"),
        (10.0, 0.5, 0.25, 0.85, 0.10, 90.0, "complete"),
        (3.3, 0.6, 0.2, 0.99, 0.50, 10.0, "complete"),
        (1.0, 0.9, 0.25, np.nan, 0.90, 5.0, "pruned"),
        (np.nan, np.nan, np.nan, 0.75, 1.0, 95.0, "complete"),
    ]:
        for seed in (0, 1):
            rows.append({
                "trial": len(rows), "state": state, "method": "RotNet" if np.isnan(eta) else "BDW", "domain": "stl10",
                "seed": seed, "weight_lr": eta, "density_threshold": rho, "cdf_threshold": cdf,
                "validation_score": 0.5, "test_score": accuracy + 0.01 * seed, "measure": "accuracy",
                "kept_fraction": kept, "wall_seconds": seconds + 2 * seed,
            })  # fmt: skip
    return pd.DataFrame(rows)


def test_table_3_has_a_row_for_each_of_the_papers_cells() -> None:
    table = table_3(trials())
    frame, best = table.to_frame(), table.best()
    assert frame.columns.tolist() == ["η", "ρ", "λ", "accuracy (%)", "kept (%)", "time (s)"]
    assert frame.index.tolist() == ["RotNet"] + ["BDW"] * 8
    assert frame.iloc[0].tolist() == ["–", "–", "–", "75.5 ± 0.7", "100.0 ± 0.0", "96.0 ± 1.4"]
    assert frame.iloc[1].tolist() == ["10", "0.5", "0.1", "80.5 ± 0.7", "20.0 ± 0.0", "101.0 ± 1.4"]
    assert frame.iloc[8].tolist() == ["1", "0.9", "0.25", "–", "–", "–"]
    assert frame.iloc[:, :3].drop_duplicates().shape == (9, 3)
    assert best.iloc[2].tolist() == [False, False, False, True, False, True]
    assert best.to_numpy().sum() == 2
    assert "over 2 seeds" in table.note


def test_table_3_of_all_cells_that_completed() -> None:
    frame = table_3(trials(), cells=None).to_frame()
    assert frame[["η", "ρ", "λ"]].to_numpy().tolist() == [
        ["–", "–", "–"],
        ["10", "0.5", "0.1"],
        ["10", "0.5", "0.25"],
        ["3.3", "0.6", "0.2"],
    ]
    chosen = table_3(trials(), cells=[(3.3, 0.6, 0.2)]).to_frame()
    assert chosen["accuracy (%)"].tolist() == ["75.5 ± 0.7", "99.5 ± 0.7"]


def test_table_3_from_a_results_table() -> None:
    table = table_3(accuracies("accuracy", 0), domain="domain 3")
    assert table.columns == ("accuracy (%)", "kept (%)", "time (s)")
    assert table.to_frame()["kept (%)"].tolist() == ["25.0 ± 0.0"] * 3
    assert table.to_frame()["time (s)"].tolist() == ["40.5 ± 0.7"] * 3
    assert table.best()["time (s)"].all()
    assert "domain 3" in table.caption


def with_column(name: str, value: Any) -> pd.DataFrame:
    return trials().assign(**{name: value})


@pytest.mark.parametrize(
    ("table", "options", "error", "message"),
    [
        (trials().drop(columns="test_score"), {}, ColumnsError, "test_score absent; allowed: those of trials.csv"),
        (with_column("measure", "pretext_loss"), {}, MetricError, "measure: pretext_loss; allowed: accuracy"),
        (with_column("seed", 0), {}, DuplicateError, "RotNet with .* more than once for seed 0"),
        (with_column("state", "failed"), {}, OptionError, "allowed: none, as nothing is complete"),
        (trials(), {"domain": "mnist"}, OptionError, "domain: 'mnist'; allowed: stl10"),
        (accuracies("accuracy", 0), {}, OptionError, "domain: None; allowed: domain 0, "),
        (accuracies("accuracy", 0).drop(columns="kept_fraction"), {}, ColumnsError, "kept_fraction absent"),
        (accuracies("loss", 0), {}, MetricError, "'accuracy' is not in the table; present: loss"),
    ],
)
def test_table_3_refuses_bad_input(
    table: pd.DataFrame, options: dict[str, Any], error: type[ValueError], message: str
) -> None:
    with pytest.raises(error, match=message):
        table_3(table, **options)


def test_tables_1_and_2_refuse_other_results() -> None:
    with pytest.raises(MetricError, match="neither of accuracy, fine_tuned_accuracy; present: loss"):
        table_2(accuracies("loss", 0))
    with pytest.raises(ColumnsError, match="those of a long results table"):
        table_2(pd.DataFrame({"a": [1.0]}))
    with pytest.raises(MetricError, match="'pretext_loss' is not in the table"):
        table_1(accuracies("accuracy", 0))
