"""Small runs of two tasks beside the random encoder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bdw.errors import InputError
from benchmarks.studies import pretext_accuracy


def test_every_task_trains_for_as_many_images_and_random_for_none(results: Path, shared_data: Path) -> None:
    arguments = pretext_accuracy.Arguments(
        data_root=str(shared_data), methods=("random", "rotation", "byol"), seeds=(0,), max_source=600, images=1_200,
        encoder="small_cnn", save="x",
    )  # fmt: skip
    pretext_accuracy.main(arguments)
    saved = json.loads((results / "x.json").read_text())
    runs = {run["method"]: run for run in saved["runs"]}
    assert list(runs) == ["random", "rotation", "byol"]
    assert runs["rotation"]["instances"] == runs["byol"]["instances"] >= 1_200
    assert len({run["rankme"] for run in runs.values()}) == 3
    accuracies = [row["accuracy"] for row in saved["means"].values()]
    assert accuracies == sorted(accuracies, reverse=True)


def test_the_random_encoder_learns_nothing() -> None:
    arguments = pretext_accuracy.Arguments(data_root="")
    config = pretext_accuracy.config_of(arguments, "random", 0)
    assert config.optimiser.learning_rate < 1e-9
    assert config.budget.budget_images == arguments.batch_size


def test_sizes_of_heads_are_fields_of_their_tasks() -> None:
    arguments = pretext_accuracy.Arguments(data_root="")
    for name in arguments.methods:
        config = pretext_accuracy.config_of(arguments, name, 0)
        for field, value in pretext_accuracy.SMALL.get(name, {}).items():
            assert getattr(config.pretext.options, field.removeprefix("pretext.")) == value


def test_an_unknown_task() -> None:
    with pytest.raises(InputError, match="methods: 'simclear' is not known"):
        pretext_accuracy.main(pretext_accuracy.Arguments(data_root="", methods=("simclear",)))
