import pytest

from analysis import compare_ranks, paper_table
from analysis.errors import OptionError


def test_table_2_holds_the_published_average_ranks() -> None:
    table = paper_table(2)
    assert list(table.columns) == ["table", "evaluation", "domain", "method", "quantity", "value", "num_domains"]
    assert set(table["quantity"]) == {"average_rank"}
    ranks = table.pivot(index="method", columns="evaluation", values="value").loc[
        ["RotNet", "NN-Weighter", "L2RW", "BDW"]
    ]
    assert ranks["logistic regression"].tolist() == [3.6, 2.8, 2.2, 1.4]
    assert ranks["fine-tuned"].tolist() == [2.8, 2.6, 3.3, 1.3]
    statistics = [
        compare_ranks(ranks[evaluation], num_domains=10).friedman_statistic
        for evaluation in ("logistic regression", "fine-tuned")
    ]
    assert statistics == pytest.approx([15.60, 13.08])


def test_other_tables_are_refused() -> None:
    with pytest.raises(OptionError, match="number: 7; allowed: 1, 2"):
        paper_table(7)


def test_table_1_holds_the_published_test_losses() -> None:
    losses = paper_table(1).pivot(index="method", columns="domain", values="value")
    assert losses.loc["BDW"].to_dict() == {"mnist": 192.64, "fashion-mnist": 171.13, "kmnist": 302.70}
    assert (losses.loc["Oracle"] < losses.drop("Oracle")).all(axis=None)
    assert losses.shape == (4, 3)
