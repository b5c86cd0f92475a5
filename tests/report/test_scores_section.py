"""What the page says of a scorer follows from its figures."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bdw.report import write_run_report
from bdw.scoring.held_out import Group, HeldOut
from bdw.scoring.scorer import HELD_OUT
from bdw.storage.tensor_file import write_tensors

FOUND = HeldOut(800, 200, 0.94, 0.81, 0.97, 0.99, 0.96, (Group(100, 0.2, 0.21, 0.05), Group(100, 0.7, 0.69, 0.9)))


def page_of(run: Path, found: HeldOut) -> str:
    write_tensors(run / "scorer.safetensors", {"a": torch.zeros(1)}, {HELD_OUT: json.dumps(found.values())})
    return write_run_report(run).read_text(encoding="utf-8")


def test_the_section_names_what_was_measured(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    page = page_of(make_run(tmp_path / "run"), FOUND)
    assert "It learnt from 800 images of the source. The figures are those of 200 images" in page
    assert "useful images against planted junk images: 0.990; that of the weights which the run learnt" in page
    assert "94.0 % of the learnt mean weights lie in their 95 % interval." in page
    assert "The intervals are too" not in page
    assert "90.0 %" in page


@pytest.mark.parametrize(("coverage", "word"), [(0.8, "narrow"), (1.0, "wide"), (0.91, None)])
def test_intervals_that_are_off_are_called_so(
    tmp_path: Path, make_run: Callable[..., Path], coverage: float, word: str | None
) -> None:
    page = page_of(make_run(tmp_path / "run"), dataclasses.replace(FOUND, coverage=coverage))
    assert (f"The intervals are too {word}." if word else "The intervals are too") in page or word is None
    assert ("The intervals are too" in page) == (word is not None)


def test_a_run_without_a_scorer_has_no_section(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    page = write_run_report(make_run(tmp_path / "run")).read_text(encoding="utf-8")
    assert "Scores for new images" not in page
