"""Presets that repeat an experiment of the paper have the paper's settings."""

from __future__ import annotations

import pytest

from analysis import paper_accuracies, paper_table
from bdw.config import RunConfig, presets
from bdw.errors import InputError


def test_stl10_is_the_cell_of_table_3_that_table_2_repeats() -> None:
    pruning = paper_table(3)
    in_table_2 = paper_accuracies("fine_tuned").at["STL-10", "BDW"]
    (cell,) = pruning[pruning["fine_tuned_accuracy"] == in_table_2].to_dict("records")
    weighter = presets.build("stl10").weighter
    assert (weighter.weight_lr, weighter.density_threshold, weighter.cdf_threshold) == (
        cell["eta"],
        cell["rho"],
        cell["lambda"],
    )
    assert f"{in_table_2:.2f} %" in str(presets.stl10.__doc__)


def test_sizes_that_are_given_do_not_shrink() -> None:
    assert presets.build("recommended").meta.may_shrink == ("ways", "shots", "queries", "target_batch")
    assert presets.build("recommended").replace(ways=10).meta.may_shrink == ("shots", "queries", "target_batch")
    assert presets.build("recommended").replace(ways=9, may_shrink=["ways"]).meta.may_shrink == ("ways",)
    assert presets.build("digits").meta.may_shrink == ()
    with pytest.raises(InputError, match=r"may_shrink: \('epochs',\) cannot work; allowed: some of ways, shots"):
        RunConfig().replace(may_shrink=["epochs"])
