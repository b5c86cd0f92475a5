"""The benchmark times real steps of the task and the variants asked for."""

from __future__ import annotations

import pytest

from benchmarks import step_parts
from benchmarks.pretext_steps import BATCH, STEPS, Arguments, measure, trainer_of


def test_every_variant_gets_a_ratio_to_the_tasks_plain_step() -> None:
    rows = measure(Arguments(tasks=("vicreg",), variants=("plain", "recipe"), head=8, rounds=1))
    assert [(row["task"], row["variant"]) for row in rows] == [("vicreg", "plain"), ("vicreg", "recipe")]
    assert rows[0]["ratio"] == 1
    assert all(row["ms"] > 0 for row in rows)


@pytest.mark.parametrize(
    ("variant", "estimator", "images"),
    [("exact", "forward_mode", 100), ("pretext", "forward_mode", 64), ("recipe", "head", 16)],
)
def test_variants_are_what_the_page_of_the_benchmark_says(variant, estimator, images, tmp_path) -> None:  # type: ignore[no-untyped-def]
    trainer = trainer_of("vicreg", variant, 8, tmp_path / "run")
    alignment = trainer.learner.alignment
    assert alignment is not None
    assert alignment.estimator.name == estimator
    assert alignment.meta_loss.images_per_batch == images
    assert trainer.learner.model.task.projector[-1].out_features == 8
    assert trainer.learner.model.encoder.feature_dim == 64
    assert step_parts.run_steps(trainer, 1) > 0
    assert len(trainer.images) == STEPS * BATCH
