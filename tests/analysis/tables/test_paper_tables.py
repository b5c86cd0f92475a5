"""The shipped tables hold what the paper prints; what it says elsewhere, and SciPy, agree with them."""

from typing import Any

import pytest
from scipy import stats

from analysis import AnalysisInputError, compare, compare_ranks, paper_accuracies, paper_losses, paper_table

METHODS = ["RotNet", "NN-Weighter", "L2RW", "BDW"]
AVERAGE_RANKS = {"logistic_regression": [3.6, 2.8, 2.2, 1.4], "fine_tuned": [2.8, 2.6, 3.3, 1.3]}
"""Of METHODS; the paper's."""
CHI_SQUARES = {"logistic_regression": 15.60, "fine_tuned": 13.08}


@pytest.mark.parametrize(
    ("number", "columns", "num_rows"),
    [
        (1, ["method", "target", "test_loss", "seconds"], 12),
        (2, ["evaluation", "method", "domain", "accuracy"], 80),
        (3, ["method", "eta", "rho", "lambda", "fine_tuned_accuracy", "pruned_percent", "seconds"], 10),
        (4, ["domain", "images"], 10),
    ],
)
def test_every_table_is_whole(number: int, columns: list[str], num_rows: int) -> None:
    table = paper_table(number)
    assert list(table.columns) == columns
    assert len(table) == num_rows
    names = [name for name in columns if name in {"evaluation", "method", "target", "domain", "eta", "rho", "lambda"}]
    assert not table.duplicated(names).any()
    known = table[table["method"] == "BDW"] if number == 3 else table
    assert known.notna().all(axis=None)


@pytest.mark.parametrize("evaluation", AVERAGE_RANKS)
def test_average_ranks_and_tests_follow_from_table_2s_accuracies(evaluation: str) -> None:
    accuracies = paper_accuracies(evaluation)
    assert list(accuracies.columns) == METHODS
    by_scipy = stats.rankdata(-accuracies.to_numpy(), axis=1).mean(axis=0)
    assert by_scipy == pytest.approx(AVERAGE_RANKS[evaluation])
    compared = compare(accuracies, higher_is_better=True)
    assert compared.average_ranks[METHODS].tolist() == pytest.approx(AVERAGE_RANKS[evaluation])
    assert compared.statistic == pytest.approx(stats.friedmanchisquare(*accuracies.to_numpy().T).statistic)
    assert compared.statistic == pytest.approx(CHI_SQUARES[evaluation], abs=0.005)
    # Demsar's Table 5(a): q = 2.569 for 4 methods at 0.05; CD = q sqrt(k (k + 1) / 6 N).
    assert compared.critical_difference == pytest.approx(2.569 * (4 * 5 / (6 * 10)) ** 0.5, abs=1e-3)
    assert compared.critical_difference == pytest.approx(1.4832, abs=5e-5)
    # No two methods tie on a domain, so that the ranks alone say as much.
    of_ranks = compare_ranks(dict(zip(METHODS, AVERAGE_RANKS[evaluation], strict=True)), num_domains=10)
    assert of_ranks.statistic == pytest.approx(compared.statistic)
    assert of_ranks.cliques == compared.cliques


def test_tables_agree_where_they_repeat_each_other() -> None:
    """STL-10's fine-tuned accuracies stand in Tables 2 and 3; the targets of Tables 2 and 4 are the same."""
    pruning = paper_table(3)
    on_stl10 = paper_accuracies("fine_tuned").loc["STL-10"]
    for method in ("RotNet", "L2RW"):
        (row,) = pruning[pruning["method"] == method].to_dict("records")
        assert row["fine_tuned_accuracy"] == on_stl10[method]
    (cell,) = pruning[pruning["fine_tuned_accuracy"] == on_stl10["BDW"]].to_dict("records")
    assert (cell["method"], cell["eta"], cell["rho"], cell["lambda"]) == ("BDW", 10, 0.5, 0.25)
    assert (cell["fine_tuned_accuracy"], cell["pruned_percent"], cell["seconds"]) == (71.12, 49.69, 99192)
    assert list(paper_table(4)["domain"]) == list(paper_accuracies("logistic_regression").index)


def test_table_3_has_the_papers_grid() -> None:
    cells = paper_table(3).dropna().set_index(["eta", "rho", "lambda"])["fine_tuned_accuracy"]
    grid = {(eta, rho, cut) for eta in (10, 1) for rho in (0.5, 0.9) for cut in (0.1, 0.25)}
    assert set(cells.index) == grid
    assert cells[(1, 0.5, 0.1)] == 69.40
    assert cells.idxmax() == (10, 0.5, 0.1)


def test_table_1_under_the_sweeps_names() -> None:
    losses = paper_losses().pivot(index="method", columns="domain", values="value")
    assert losses.shape == (4, 3)
    assert losses.loc["BDW"].to_dict() == {"mnist": 192.64, "fashion-mnist": 171.13, "kmnist": 302.70}
    assert (losses.loc["Oracle"] < losses.drop("Oracle")).all(axis=None)
    assert paper_losses()["value"].tolist() == paper_table(1)["test_loss"].tolist()


@pytest.mark.parametrize("number", [0, 5, 7, True, 2.0, "2", None, [1]])
def test_other_tables_are_refused(number: Any) -> None:
    with pytest.raises(AnalysisInputError) as refused:
        paper_table(number)
    assert str(refused.value) == f"number: {number!r}; allowed: 1, 2, 3, 4"


def test_other_evaluations_are_refused() -> None:
    with pytest.raises(AnalysisInputError, match=r"^evaluation: 'knn'; allowed: logistic_regression, fine_tuned$"):
        paper_accuracies("knn")
