"""Numbers that papers published, shipped as CSV files, so that their figures can be drawn again."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from analysis.errors import OptionError, listing

_FILES = {1: "bdw_2020_table_1.csv", 2: "bdw_2020_table_2.csv"}


def paper_table(number: int) -> pd.DataFrame:
    """Return what is shipped of a table of Ericsson, Gouk and Hospedales, "Don't Wait, Just Weight" (arXiv 2006.12360).

    Table 1 (auto-encoders on MNIST, Fashion-MNIST and KMNIST mixed, for each of them): the test losses.

    Table 2 (Visual Decathlon domains and STL-10, ResNet-34): its average ranks over the ten target domains. The
    accuracies of the single domains are not shipped: they were not at hand when this file was made, and numbers are
    never made up from ranks. Rows with `quantity` "accuracy" and a domain's name can be added to the CSV file.

    Args:
        number: 1 or 2.

    Returns:
        tidy DataFrame, one row a number, with the columns table, evaluation ("auto-encoder", "logistic regression" or
        "fine-tuned"), domain ("all" for numbers over all domains), method, quantity (what the number is: "test_loss" or
        "average_rank"), value and num_domains (over how many domains it was taken).

    Raises:
        OptionError: a table of which nothing is shipped.
    """
    if number not in _FILES:
        raise OptionError(f"number: {number!r}; allowed: {listing(_FILES)}")
    return pd.read_csv(Path(__file__).parent / "papers" / _FILES[number])
