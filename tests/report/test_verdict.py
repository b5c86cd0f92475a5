from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from bdw.report.outcome import Outcome
from bdw.report.run_files import RunFiles
from bdw.report.verdict import verdict

ChangedRun = Callable[..., RunFiles]
NOTHING_PRUNED = {"kept": True, "pruned_at_epoch": 0}


def _said(run: RunFiles) -> dict[str, str]:
    return {finding.label: finding.text for finding in verdict(Outcome.of(run))}


def test_the_numbers_are_those_of_the_files(changed_run: ChangedRun) -> None:
    run = changed_run(metrics={"weighting_seconds": [4.0, 5.0, 6.0, 7.0], "saved_seconds": [0.0, 3.0, 7.0, 9.5]})
    weights = run.weights
    assert weights is not None
    gone = weights[~weights["kept"]]
    auroc, junk = roc_auc_score(weights["planted"], weights["mean"]), 1 - gone["planted"].mean()
    assert _said(run) == {
        "Found": "24 of 60 images (40.0 %) were pruned as useless, the first after epoch 2; 36 are kept. "
        f"The weights tell useful images from planted junk images with an AUROC of {auroc:.3f} (0.5 is guessing, "
        f"1 perfect); {100 * junk:.1f} % of the pruned are planted junk images.",
        # The made-up number of images is more than four epochs of 60.
        "Bought": "The encoder of epoch 3 has a test accuracy of 81.2 % (95 % interval 74.5 to 86.5 %). Training saw "
        "12,345 images, as many as plain training; weighting took 7.0 s, pruning saved 9.5 s: 2.5 s gained.",
        # 33 of 40 right; 32 of 40 (epoch 4) lies within, 20 of 40 (epoch 1) does not.
        "How sure": "The test score rests on 160 images and one seed. 40 validation images chose the epoch: 1 of the 2 "
        "other epochs score within the best one's interval, 68.1 to 91.3 %.",
    }


def test_the_test_score_of_several_targets_is_that_of_no_single_encoder(changed_run: ChangedRun) -> None:
    said = _said(changed_run(config={"targets": ["birds", "cars"]}))
    assert said["Bought"].startswith(
        "The encoders of the 2 targets' own best epochs have a test accuracy of 81.2 % on average. Training saw"
    )
    assert said["How sure"] == "One run with one seed: how much another seed would differ is not known."


def test_what_was_not_trained_on_is_a_share_of_plain_training(changed_run: ChangedRun) -> None:
    run = changed_run(metrics={"instances_seen": [60, 120, 170, 210]})
    assert "Training saw 210 images, 87.5 % of the 240 of plain training." in _said(run)["Bought"]


def test_one_epoch_has_no_rivals(changed_run: ChangedRun) -> None:
    run = changed_run(metrics={"validation_score": [np.nan, np.nan, 0.825, np.nan]})
    assert _said(run)["How sure"].endswith("40 validation images chose the epoch; its 95 % interval is 68.1 to 91.3 %.")


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([0.5, np.nan, 0.825, 0.5], "none of the 2 other epochs score within"),
        ([0.8, 0.8, 0.825, 0.8], "all of the 3 other epochs score within"),
        ([0.8, np.nan, 0.825, np.nan], "the other epoch scores within"),
        ([0.5, np.nan, 0.825, np.nan], "the other epoch does not score within"),
    ],
)
def test_how_many_epochs_score_alike(changed_run: ChangedRun, scores: list[float], said: str) -> None:
    assert said in _said(changed_run(metrics={"validation_score": scores}))["How sure"]


def test_the_balance_of_seconds(changed_run: ChangedRun) -> None:
    cheap = changed_run(metrics={"weighting_seconds": 7.0, "saved_seconds": 0.0})
    assert "weighting took 7.0 s, and nothing was saved." in _said(cheap)["Bought"]
    dear = changed_run(metrics={"weighting_seconds": 4000.0, "saved_seconds": 600.0})
    assert (
        "weighting took 1 h 7 min, pruning saved 10 min 0 s: 56 min 40 s short of breaking even."
        in (_said(dear)["Bought"])
    )
    plain = changed_run(metrics={"weighting_seconds": 0.0, "saved_seconds": 0.0})
    assert "weighting" not in _said(plain)["Bought"]


IMAGES = {"budget_unit": "images", "epochs": 4}


def test_a_budget_of_images_is_spent_and_saves_no_time(changed_run: ChangedRun) -> None:
    """Pruned or not: what is saved goes to the images that are kept."""
    seen, spent = [60, 120, 180, 240], {"weighting_seconds": 7.0, "saved_seconds": np.nan}
    kept = "Training saw 240 images, the whole budget; weighting took 7.0 s; the images that pruning saved went to the "
    run = changed_run(metrics={"instances_seen": seen, **spent}, config=IMAGES)
    assert f"{kept}kept ones." in _said(run)["Bought"]
    # The last step may go a little further.
    run = changed_run(metrics={"instances_seen": [60, 120, 170, 245], **spent}, config={"budget_images": 240})
    assert kept.replace("240", "245") in _said(run)["Bought"]
    free = changed_run(
        metrics={"instances_seen": seen, "weighting_seconds": 0.0, "saved_seconds": np.nan}, config=IMAGES
    )
    assert "the whole budget; the images that pruning saved went to the kept ones." in _said(free)["Bought"]
    whole = changed_run(
        metrics={"instances_seen": seen, "kept_fraction": 1.0, **spent}, weights=NOTHING_PRUNED, config=IMAGES
    )
    assert _said(whole)["Bought"].endswith("the whole budget; weighting took 7.0 s.")
    plain = changed_run(
        metrics={"instances_seen": seen, "weighting_seconds": 0.0, "saved_seconds": np.nan}, config=IMAGES, uniform=True
    )
    assert _said(plain)["Bought"].endswith("Training saw 240 images, the whole budget.")


def test_what_is_left_of_a_budget_of_images_is_said(changed_run: ChangedRun) -> None:
    """A time budget has ended the run."""
    run = changed_run(metrics={"instances_seen": [60, 120, 170, 210]}, config=IMAGES)
    assert "Training saw 210 images, 87.5 % of the budget of 240;" in _said(run)["Bought"]


def test_weights_that_tell_nothing_are_said_to(changed_run: ChangedRun) -> None:
    wrong = _said(changed_run(weights={"mean": np.linspace(0.1, 0.9, 60)}))["Found"]
    assert "AUROC of 0.000 (0.5 is guessing, 1 perfect), no better than guessing" in wrong
    assert "no better than guessing" not in _said(changed_run())["Found"]


@pytest.mark.parametrize(
    ("config", "kept_fraction", "begins"),
    [
        ({}, 1.0, "Nothing was pruned: all 60 images are kept."),
        ({"prune": False}, 1.0, "Pruning was off, so that all 60 images are kept; the weights rank them."),
        (
            {},
            [1.0, 0.5, 1.0, 1.0],
            "At the end all 60 images are kept; images that were pruned earlier have come back.",
        ),
    ],
)
def test_where_everything_is_kept(
    changed_run: ChangedRun, config: dict[str, bool], kept_fraction: float | list[float], begins: str
) -> None:
    run = changed_run(config=config, metrics={"kept_fraction": kept_fraction}, weights=NOTHING_PRUNED)
    found = _said(run)["Found"]
    assert found.startswith(begins)
    assert found.endswith("(0.5 is guessing, 1 perfect).")


def test_fixed_weights_prune_before_the_first_epoch(changed_run: ChangedRun) -> None:
    run = changed_run(metrics={"meta_loss": np.nan, "kept_fraction": 0.6})
    assert _said(run)["Found"].startswith("24 of 60 images (40.0 %) were pruned as useless; 36 are kept.")


def test_plain_training_found_nothing(changed_run: ChangedRun) -> None:
    run = changed_run(uniform=True)
    assert _said(run)["Found"] == "Nothing was learnt about single images: the run trained on all 60 images alike."


def test_a_loss_has_no_interval(changed_run: ChangedRun) -> None:
    run = changed_run(config={"measure": "pretext_loss"}, metrics={"is_best": False})
    results = pd.DataFrame({"metric": ["pretext_loss"], "value": [195.416]})
    said = _said(RunFiles(**{**vars(run), "results": results}))
    assert said["Bought"].startswith("The encoder of epoch 1 has a test pretext loss of 195.42. ")
    assert said["How sure"] == "One run with one seed: how much another seed would differ is not known."


def test_a_run_that_did_not_count_its_target_has_no_interval(changed_run: ChangedRun) -> None:
    said = _said(changed_run(validation=None))
    assert said["Bought"].startswith("The encoder of epoch 3 has a test accuracy of 81.2 %. ")
    assert said["How sure"] == "One run with one seed: how much another seed would differ is not known."
