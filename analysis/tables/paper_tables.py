"""The numbers that papers published, shipped as CSV files, so that figures can be drawn again and ours compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from analysis.errors import OptionError, listing, shown

TABLES = (1, 2, 3, 4)
"""The numbers of the tables that are shipped."""

_SWEEPS_METHODS = {"Oracle VAE": "Oracle", "VAE": "VAE", "DW VAE": "DW", "BDW VAE": "BDW"}
_SWEEPS_DOMAINS = {"MNIST": "mnist", "FashionMNIST": "fashion-mnist", "KMNIST": "kmnist"}


def paper_table(number: int) -> pd.DataFrame:
    """Return a table of Ericsson, Gouk and Hospedales, "Don't Wait, Just Weight" (arXiv 2006.12360), as printed.

    Methods and domains have the names that the paper prints. Accuracies and shares are in percent, times in seconds on
    the authors' GPU. The paper gives no deviations.

    Table 1 has variational auto-encoders on MNIST, Fashion-MNIST and KMNIST mixed, for each of them (12 rows): method,
    target, test_loss (lower is better), seconds (of training).

    Table 2 has encoders for nine domains of the Visual Decathlon and for STL-10 (80 rows): evaluation
    ("logistic_regression" on fixed features or "fine_tuned"), method, domain, accuracy (on the test split).

    Table 3 has pruning on STL-10 (10 rows): method, eta (learning rate of the weights), rho and lambda (an image is
    pruned once the weight is below lambda with a probability above rho), fine_tuned_accuracy, pruned_percent (of the
    source), seconds (of training). RotNet and L2RW have no such settings: NaN.

    Table 4 has the sizes of the targets (10 rows): domain, images (training and validation together).

    Args:
        number: 1, 2, 3 or 4.

    Returns:
        a new DataFrame with the columns above, one row for each line of the CSV file.

    Raises:
        OptionError: any other number.
    """
    if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number not in TABLES:
        raise OptionError(f"number: {shown(number)}; allowed: {listing(TABLES)}")
    return pd.read_csv(Path(__file__).parent / "papers" / f"bdw_2020_table_{number}.csv")


def paper_losses() -> pd.DataFrame:
    """Return Table 1's test losses under the names of sweeps/mnist_autoencoders.py, to stand beside a sweep's.

    Returns:
        DataFrame of 12 rows: method ("Oracle", "VAE", "DW", "BDW"), domain ("mnist", "fashion-mnist", "kmnist") and
        value (the test loss as printed; lower is better), as `draw_scores` takes it for `published`.
    """
    table = paper_table(1)
    return pd.DataFrame(
        {
            "method": table["method"].map(_SWEEPS_METHODS),
            "domain": table["target"].map(_SWEEPS_DOMAINS),
            "value": table["test_loss"],
        }
    )


def paper_accuracies(evaluation: str) -> pd.DataFrame:
    """Return Table 2's accuracies of one evaluation as a wide table, from which `compare` makes the paper's Figure 2.

    Args:
        evaluation: "logistic_regression" or "fine_tuned".

    Returns:
        (10, 4) DataFrame in percent: domains down (the index), methods across, both in the paper's order and spelling.

    Raises:
        OptionError: any other evaluation.
    """
    table = paper_table(2)
    allowed = table["evaluation"].unique()
    if evaluation not in allowed:
        raise OptionError(f"evaluation: {shown(evaluation)}; allowed: {listing(allowed)}")
    rows = table[table["evaluation"] == evaluation]
    wide = rows.pivot(index="domain", columns="method", values="accuracy")
    return wide.loc[rows["domain"].unique(), rows["method"].unique()]
