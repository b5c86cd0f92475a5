from __future__ import annotations

import csv
import dataclasses
import io

import numpy as np

from bdw.diagnostics.replay import Replay, Thresholds
from bdw.report.replay_tables import as_csv, in_words


def block(words: str, heading: str) -> list[list[str]]:
    """The cells of the table under the heading that begins so."""
    lines = next(part for part in words.split("\n\n") if part.startswith(heading)).splitlines()[1:]
    return [line.replace("rho ", "rho=").replace("lambda ", "lambda=").replace(" (", "(").split() for line in lines]


def test_the_csv_has_a_row_for_every_pair_and_epoch(replayed: Replay) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(replayed))))
    assert len(rows) == 3 * 3
    assert rows[2] == {
        "epoch": "3", "cdf_threshold": "0.1", "density_threshold": "0.3", "pruned": "40", "pruned_fraction": "0.2",
        "exact": "False", "junk_fraction_of_pruned": "0.75", "junk_pruned_fraction": "0.3",
        "useful_pruned_fraction": "0.1",
    }  # fmt: skip
    assert [row["exact"] for row in rows] == ["True", "True", "False", *["True"] * 3, "True", "False", "False"]
    assert rows[3]["junk_fraction_of_pruned"] == "", "nothing was pruned, so nothing has a share in it"


def test_the_csv_knows_no_junk_where_none_was_planted(replayed: Replay) -> None:
    rows = csv.DictReader(io.StringIO(as_csv(dataclasses.replace(replayed, num_junk=0, num_useful=0))))
    assert {row["junk_pruned_fraction"] + row["useful_pruned_fraction"] for row in rows} == {""}


def test_the_tables_of_a_terminal(replayed: Replay) -> None:
    words = in_words(replayed, num_epochs=3)
    assert block(words, "Images pruned after epoch 3")[:3] == [
        ["rho=0.3", "rho=0.9"],
        ["lambda=0.1", "20.0(2)", "0"],
        ["lambda=0.4", "–", "98.0*(1)"],
    ]
    assert "* min_kept stopped it" in words
    # 0.1, 0.3: the whole source for two epochs, nine tenths in the third.
    assert block(words, "Images trained on")[1:] == [["lambda=0.1", "97", "100"], ["lambda=0.4", "–", "63"]]
    assert block(words, "Planted junk")[1:] == [["lambda=0.1", "30/10", "0/0"], ["lambda=0.4", "–", "100/96"]]
    assert "Worth a trial, since they prune between 5 % and 95 % of the images:\n  lambda 0.1: rho 0.3\n\n" in words
    assert "planned" not in words
    assert "itself pruned" not in words


def test_what_is_not_so_is_not_said(replayed: Replay) -> None:
    plain = dataclasses.replace(replayed, num_junk=0, num_useful=0)
    plain.outcomes.pop(Thresholds(0.1, 0.3))
    plain.outcomes.pop(Thresholds(0.4, 0.9))
    words = in_words(plain, num_epochs=5)
    assert "3 epochs (of 5 planned: the run is not finished, or stopped recording)" in words
    assert "under 1 pair of thresholds" in words
    assert "Planted" not in words
    assert "min_kept" not in words
    assert "No pair prunes between 5 % and 95 % of the images (1 less, 0 more)" in words


def test_a_run_that_pruned_is_told_so(replayed: Replay) -> None:
    words = in_words(dataclasses.replace(replayed, own=Thresholds(0.1, 0.3), own_first_pruned=2), num_epochs=3)
    assert "This run itself pruned from epoch 2 on (lambda 0.1, rho 0.3)" in words
    assert "--record-trajectory --no-prune" in words


def test_neighbouring_rhos_are_a_span(replayed: Replay) -> None:
    replayed.outcomes[Thresholds(0.1, 0.9)].pruned[:] = np.array([0, 10, 12])
    assert "  lambda 0.1: rho 0.3 to 0.9\n" in in_words(replayed, num_epochs=3)


def test_with_a_budget_of_images_what_is_saved_makes_no_run_shorter(replayed: Replay) -> None:
    words = in_words(replayed, num_epochs=7, budget=(600, 600))
    assert words.startswith("replayed 3 epochs of 200 images under")
    assert "Images trained on" not in words
    # 0.1, 0.3: 20 of 200 in the third of three epochs; 0.4, 0.9: 100 in the second and 120 in the third.
    table = block(words, "Images of the replayed epochs that are saved for those that are kept")
    assert table[1:3] == [["lambda=0.1", "3", "0"], ["lambda=0.4", "–", "37"]]
    assert "no pair makes it shorter: what pruning saves is spent on the images that are kept" in words
    short = in_words(replayed, num_epochs=7, budget=(600, 800))
    assert "replayed 3 epochs (600 of the budget's 800 images: the run is not finished, or stopped recording)" in short
    # Epochs of a run that pruned are short themselves: they are no measure of what others save.
    own = dataclasses.replace(replayed, own=Thresholds(0.1, 0.3), own_first_pruned=2)
    words = in_words(own, num_epochs=7, budget=(600, 600))
    assert "Images of the replayed epochs" not in words
    assert "no pair makes it shorter" in words
