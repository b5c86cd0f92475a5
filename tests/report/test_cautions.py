from __future__ import annotations

from collections.abc import Callable

import pytest

from bdw.report.cautions import FEW_VALIDATION_IMAGES, cautions
from bdw.report.interval import wilson
from bdw.report.outcome import Outcome
from bdw.report.run_files import RunFiles
from bdw.report.verdict import verdict

ChangedRun = Callable[..., RunFiles]

EARLY, FLOOR = "The delivered encoder saw no pruning", "Pruning ran into its floor"
NOTHING, FEW = "Nothing was pruned", "Few validation images"
MANY = 1000


def _warned(run: RunFiles) -> dict[str, str]:
    return {notice.title: notice.text for notice in cautions(Outcome.of(run))}


def test_a_run_without_fault_has_no_warning(changed_run: ChangedRun) -> None:
    assert _warned(changed_run(validation=MANY)) == {}
    assert _warned(changed_run(validation=MANY, uniform=True)) == {}


def test_the_best_epoch_precedes_all_pruning(changed_run: ChangedRun) -> None:
    best_first = {"validation_score": [0.9, 0.8, 0.8, 0.8], "is_best": [True, False, False, False]}
    text = _warned(changed_run(validation=MANY, metrics=best_first))[EARLY]
    assert "is that of epoch 1; the first images were pruned after epoch 2." in text
    assert "owes nothing to pruning." in text
    assert "Nor does it" not in text


def test_weights_that_only_prune_have_done_nothing_either(changed_run: ChangedRun) -> None:
    best_first = {"validation_score": [0.9, 0.8, 0.8, 0.8], "is_best": [True, False, False, False]}
    run = changed_run(validation=MANY, metrics=best_first, config={"weighted_loss": False})
    assert _warned(run)[EARLY].endswith("It owes nothing to the weights either: in this run they only prune.")


def test_the_last_encoder_is_offered_where_the_delivered_one_precedes_pruning(changed_run: ChangedRun) -> None:
    scores = {"validation_score": [0.9, 0.8, 0.8, 0.75], "is_best": [True, False, False, False]}
    run = changed_run(validation=MANY, metrics=scores)
    assert "encoder_last" not in _warned(run)[EARLY], "an earlier version left none"
    (run.directory / "encoder_last.safetensors").touch()
    offer = "in encoder_last.safetensors, has a validation accuracy of 75.0 % against 90.0 %."
    assert _warned(run)[EARLY].endswith(
        "it is encoder_last.safetensors, with a validation accuracy of 75.0 % against 90.0 %."
    )
    (bought,) = [finding.text for finding in verdict(Outcome.of(run)) if finding.label == "Bought"]
    assert f"It was trained before any image was pruned; the last epoch's, {offer}" in bought
    later = changed_run(validation=MANY)  # Its best epoch is the third, images went after the second.
    (later.directory / "encoder_last.safetensors").touch()
    assert EARLY not in _warned(later)
    assert all("encoder_last" not in finding.text for finding in verdict(Outcome.of(later)))


def test_the_epoch_after_which_images_first_go_was_trained_on_all_of_them(changed_run: ChangedRun) -> None:
    # Epoch 2 saw all 120; images went after it, so that epoch 3 is the first to do without.
    scores = [0.5, 0.9, 0.8, 0.8]
    best_second = {"validation_score": scores, "is_best": [True, True, False, False]}
    assert EARLY in _warned(changed_run(validation=MANY, metrics=best_second))


def test_fixed_weights_prune_before_the_first_epoch(changed_run: ChangedRun) -> None:
    metrics = {
        "validation_score": [0.9, 0.8, 0.8, 0.8],
        "is_best": [True, False, False, False],
        "kept_fraction": 0.6,
        "instances_seen": [36, 72, 108, 144],
    }
    assert _warned(changed_run(validation=MANY, metrics=metrics)) == {}


@pytest.mark.parametrize(
    ("floor", "warns"),
    [
        ({"min_kept": 36}, True),
        ({"min_kept": 35}, False),
        # Of 60 images.
        ({"kept_share": 0.6}, True),
        ({"kept_share": 0.58}, False),
        ({"kept_share": 0.6, "min_kept": 30}, False),
    ],
)
def test_what_is_kept_is_the_floor(changed_run: ChangedRun, floor: dict[str, int], warns: bool) -> None:
    warned = _warned(changed_run(validation=MANY, config=floor))
    assert (FLOOR in warned) == warns
    assert not warns or "The run ended with 36 images, the fewest that it may keep" in warned[FLOOR]


def test_by_default_the_floor_is_a_batch(changed_run: ChangedRun) -> None:
    assert FLOOR in _warned(changed_run(validation=MANY, config={"batch_size": 36}))


def test_nothing_was_pruned(changed_run: ChangedRun) -> None:
    kept = {"kept": True, "pruned_at_epoch": 0}
    warned = _warned(changed_run(validation=MANY, metrics={"kept_fraction": 1.0}, weights=kept))
    assert list(warned) == [NOTHING]
    assert "The rule prunes an image once more than 50.0 %" in warned[NOTHING]


@pytest.mark.parametrize(
    ("validation", "warns"), [(FEW_VALIDATION_IMAGES - 1, True), (FEW_VALIDATION_IMAGES, False), (None, False)]
)
def test_few_validation_images(changed_run: ChangedRun, validation: int | None, warns: bool) -> None:
    assert (FEW in _warned(changed_run(validation=validation))) == warns


def test_the_interval_of_few_images_is_said(changed_run: ChangedRun) -> None:
    text = _warned(changed_run())[FEW]
    # scipy.stats.binomtest(33, 40).proportion_ci(method="wilson") is (0.68050, 0.91255).
    assert "40 images chose the epoch. One image more or less is 2.5 %" in text
    assert "interval of 82.5 % runs from 68.1 to 91.3 %, 23.2 points wide" in text


def test_a_loss_has_no_such_interval(changed_run: ChangedRun) -> None:
    assert _warned(changed_run(config={"measure": "pretext_loss"})) == {}


def test_where_few_begins_an_interval_is_more_than_eight_points_wide() -> None:
    interval = wilson(0.9, FEW_VALIDATION_IMAGES)
    assert 0.08 < interval.high - interval.low < 0.09


@pytest.mark.parametrize(
    ("seen", "kept", "budget", "early"),
    [
        # The best epoch is the last one, and cut off by the end of the budget.
        ([60, 120, 180, 200], [1.0, 1.0, 1.0, 0.6], 200, True),
        ([60, 120, 180, 200], [1.0, 1.0, 0.8, 0.6], 200, False),
        ([60, 120, 170, 200], [1.0, 0.9, 0.9, 0.6], 200, False),
        # The same numbers of a run that had more to do.
        ([60, 120, 180, 200], [1.0, 1.0, 1.0, 0.6], 300, False),
        ([60, 120, 180, 200], [1.0, 1.0, 1.0, 0.6], None, False),
        ([60, 120, 180, 240], [1.0, 1.0, 1.0, 0.6], 240, True),
    ],
)
def test_a_budget_that_ends_within_an_epoch_makes_that_no_pruned_one(
    changed_run: ChangedRun, seen: list[int], kept: list[float], budget: int | None, early: bool
) -> None:
    metrics = {
        "instances_seen": seen,
        "kept_fraction": kept,
        "validation_score": [0.5, 0.6, 0.7, 0.8],
        "is_best": [True] * 4,
    }
    warned = _warned(changed_run(validation=MANY, metrics=metrics, config={"budget_images": budget}))
    assert (EARLY in warned) == early
