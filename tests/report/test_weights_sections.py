from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from bdw.report.page import Sheet
from bdw.report.run_files import RunFiles
from bdw.report.weights_sections import figure_sections, image_sections, weights_sections

ChangedRun = Callable[..., RunFiles]


def _sheets(run: RunFiles) -> dict[str, Sheet]:
    (section,) = image_sections(run)
    return {block.title: block for block in section.blocks if isinstance(block, Sheet)}


def test_a_sweep_gets_figures_then_images(changed_run: ChangedRun) -> None:
    titles = [section.title for section in weights_sections(changed_run())]
    assert titles == ["What the weights learnt", "Planted junk", "The images"]
    assert weights_sections(changed_run(uniform=True)) == []


def test_a_caption_says_what_is_known_of_the_images(changed_run: ChangedRun) -> None:
    run = changed_run()
    assert run.weights is not None
    sheets = _sheets(run)
    assert list(sheets) == ["Most useful", "Least useful", "Pruned first"]
    useful = int(run.weights.nlargest(24, "mean")["planted"].sum())
    assert sheets["Most useful"].caption == (
        f"The highest mean weights first. Of these 24, {useful} are useful and {24 - useful} junk."
    )
    # 24 were pruned, which fill the sheet.
    assert sheets["Least useful"].caption.startswith("The lowest mean weights of the pruned first. ")


def test_images_of_one_sort_are_said_to_be_all_alike(changed_run: ChangedRun) -> None:
    run = changed_run(weights={"mean": np.linspace(0.9, 0.1, 60), "pruned_at_epoch": 0})
    sheets = _sheets(run)
    assert sheets["Most useful"].caption.endswith("All 24 are useful.")
    assert sheets["Least useful"].caption.endswith("All 24 are junk.")


def test_weights_that_lie_close_have_digits_that_tell_them_apart(changed_run: ChangedRun) -> None:
    run = changed_run(weights={"mean": np.linspace(0.5, 0.50001, 60), "a": 1.0, "b": np.linspace(1, 1.0001, 60)})
    tiles = _sheets(run)["Most useful"].tiles
    assert len({tile.weight for tile in tiles}) == len(tiles)
    # Their density would be a dot.
    assert [block.kind for block in figure_sections(run)[0].blocks] == ["picture"]
    assert [block.kind for block in figure_sections(changed_run())[0].blocks] == ["picture", "picture"]


def test_where_few_were_pruned_the_least_useful_are_those_of_all(changed_run: ChangedRun) -> None:
    run = changed_run(weights={"pruned_at_epoch": np.repeat([0, 2], [57, 3])})
    assert _sheets(run)["Least useful"].caption.startswith("The lowest mean weights first. ")


def test_ties_are_said_and_no_more_where_nothing_was_planted(changed_run: ChangedRun) -> None:
    run = changed_run(weights={"mean": np.repeat([0.9, 0.2], [30, 30]), "pruned_at_epoch": 0})
    assert run.weights is not None
    unknown = dataclasses.replace(run, weights=run.weights.assign(planted=-1))
    assert {title: sheet.caption for title, sheet in _sheets(unknown).items()} == {
        "Most useful": "The highest mean weights first. 30 images have the weight 0.9000; 24 of them, drawn at random, "
        "are shown.",
        "Least useful": "The lowest mean weights first. 30 images have the weight 0.2000; 24 of them, drawn at random, "
        "are shown.",
    }


@pytest.mark.parametrize("notes", [("moved away",), ()])
def test_without_images_the_reason_stands_there(changed_run: ChangedRun, notes: tuple[str, ...]) -> None:
    run = dataclasses.replace(changed_run(), images=None, notes=notes)
    assert [block.text for section in image_sections(run) for block in section.blocks] == list(notes)  # type: ignore[union-attr]
