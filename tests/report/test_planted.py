from __future__ import annotations

import numpy as np
import pandas as pd

from bdw.report.planted import groups, separation, words


def test_auroc_is_the_share_of_pairs_in_order_ties_counting_half() -> None:
    rng = np.random.default_rng(0)
    planted = rng.integers(-1, 2, 200)
    weights = np.round(rng.uniform(size=200) + 0.2 * planted, 1)
    measured = separation(weights, planted)
    assert measured is not None
    pairs = weights[planted == 1][:, None] - weights[planted == 0][None, :]
    np.testing.assert_allclose(measured.auroc, ((pairs > 0) + 0.5 * (pairs == 0)).mean(), rtol=1e-12)
    assert (measured.num_useful, measured.num_junk) == ((planted == 1).sum(), (planted == 0).sum())


def test_one_sort_alone_has_no_auroc() -> None:
    assert separation([0.1, 0.2], [1, 1]) is None
    assert separation([0.1, 0.2], [0, -1]) is None
    assert separation([0.5, 0.5], [0, 1]) is None


def test_groups_are_useful_first_and_cover_every_row() -> None:
    table = pd.DataFrame({"planted": [0, 1, 0, -1, 0], "kind": ["noise", "digit", "stripes", "", "noise"]})
    found = groups(table)
    assert {title: list(rows.index) for title, rows in found.items()} == {
        "digit (useful)": [1], "noise (junk)": [0, 4], "stripes (junk)": [2], "unknown": [3],
    }  # fmt: skip
    assert next(iter(found)) == "digit (useful)"


def test_members_of_a_mixture_are_not_called_junk() -> None:
    table = pd.DataFrame({"planted": [0, 1, 0], "kind": ["kmnist", "mnist", "fashion-mnist"]})
    assert list(groups(table, "mnist")) == ["mnist (target)", "fashion-mnist (other)", "kmnist (other)"]
    assert words(table, "mnist").section == "Domains of the source"
    assert words(table, "digits").section == "Planted junk"


def test_kinds_are_optional() -> None:
    assert list(groups(pd.DataFrame({"planted": [0, 1]}))) == ["useful", "junk"]
    assert groups(pd.DataFrame({"mean": [0.5]})) == {}
