from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats

from bdw.report.outcome import Outcome
from bdw.report.run_files import RunFiles
from bdw.report.unpruned import Unpruned, unpruned

ChangedRun = Callable[..., RunFiles]


@pytest.fixture
def found(changed_run: ChangedRun) -> Callable[..., Unpruned | None]:
    def find(metrics: dict[str, Any] | None = None, weights: dict[str, Any] | None = None, **config: Any) -> Any:
        run = changed_run(
            metrics={"kept_fraction": 1.0, **(metrics or {})},
            weights={"kept": True, "pruned_at_epoch": 0, **(weights or {})},
            config=config,
        )
        return unpruned(Outcome.of(run))

    return find


def test_nothing_to_explain_where_images_went_or_none_should(
    found: Callable[..., Unpruned | None], changed_run: ChangedRun
) -> None:
    assert found(metrics={"kept_fraction": [1.0, 1.0, 1.0, 0.9]}) is None
    assert found(prune=False) is None


def test_plain_training_has_nothing_to_explain(changed_run: ChangedRun) -> None:
    assert unpruned(Outcome.of(changed_run(uniform=True))) is None


def test_the_nearest_image_and_the_lambda_that_would_prune(found: Callable[..., Unpruned | None]) -> None:
    # 50 images stay at Beta(3, 3); ten are at Beta(1, 4), of which 1 - 0.9^4 = 34 % lies below 0.1 and
    # 1 - 0.85^4 = 48 % below 0.15: not more than half. Below 0.2 it is 1 - 0.8^4 = 59 %.
    few = np.repeat([1.0, 3.0], [10, 50])
    told = found(weights={"a": few, "b": np.repeat([4.0, 3.0], [10, 50])})
    assert told is not None
    assert told.cdf_threshold == 0.2
    assert "more than 50.0 % of its weight's density (rho) lies below 0.1 (lambda)" in told.why
    assert f"has {100 * scipy.stats.beta(1, 4).cdf(0.1):.1f} % there" in told.why
    assert "With cdf_threshold 0.2 the weights of the last epoch would prune 10 of 60 images." in told.remedy


def test_a_lambda_that_prunes_next_to_nothing_or_next_to_all_is_not_advised(
    found: Callable[..., Unpruned | None],
) -> None:
    one = found(weights={"a": np.repeat([1.0, 30.0], [1, 59]), "b": np.repeat([4.0, 3.0], [1, 59])})
    everything = found(weights={"a": np.full(60, 1.0), "b": np.full(60, 4.0)})
    for told in (one, everything):
        assert told is not None
        assert told.cdf_threshold is None
        assert "would prune" not in told.remedy


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"burn_in_epochs": 4}, "Pruning begins after 4 epochs (burn_in_epochs), and the run had 4."),
        ({"min_kept": 60}, "The source has 60 images, and all of them must be kept (min_kept)."),
        ({"weighter": "l2rw"}, "The weighter l2rw has no pruning rule."),
    ],
)
def test_other_reasons(found: Callable[..., Unpruned | None], config: dict[str, Any], why: str) -> None:
    told = found(**config)
    assert told is not None
    assert (told.why, told.cdf_threshold) == (why, None)


def test_point_weights_have_a_rule_of_their_own(found: Callable[..., Unpruned | None]) -> None:
    told = found(weights={"a": np.nan, "b": np.nan, "mean": np.linspace(0.25, 1, 60)}, weighter="point")
    assert told is not None
    assert told.why.startswith("The lowest weight is 0.25;")
    assert "not above lambda = 0.1" in told.why


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"combine_targets": "mean"}, "The pruning rule on the mean over the targets finds no image useless."),
        (
            {"combine_targets": "vote", "vote_share": 0.25},
            "Every image is kept by targets that count 25.0 % of all or more (vote_share).",
        ),
    ],
)
def test_combined_targets_have_rules_of_their_own(
    found: Callable[..., Unpruned | None], config: dict[str, Any], why: str
) -> None:
    told = found(weights={"a": np.nan, "b": np.nan, "mean": np.linspace(0.25, 1, 60)}, targets=["a", "b"], **config)
    assert told is not None
    assert (told.why, told.cdf_threshold) == (why, None)


def test_fixed_weights_prune_the_weight_0(found: Callable[..., Unpruned | None]) -> None:
    told = found(metrics={"meta_loss": np.nan}, weighter="given")
    assert told is not None
    assert told.why == "Fixed weights prune the images of weight 0, and none has it."
