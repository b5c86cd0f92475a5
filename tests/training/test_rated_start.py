"""Weights that start from the scorer of a finished run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bdw.config import RunConfig
from bdw.config.identity import differences, settings
from bdw.data import Problem
from bdw.errors import InputError
from bdw.runs.directory import RunDirectory
from bdw.scoring.scorer import ScorerFiles
from bdw.training.checks import check
from bdw.training.trainer import Trainer
from bdw.weighting.weighters.beta import LEAST_MEAN
from tests.training.comparison import assert_same_end, run_to_end


@pytest.fixture
def rated(config: RunConfig, problem: Problem) -> RunDirectory:
    """A finished run that learnt weights."""
    before = run_to_end(config.replace(run_dir=config.output.run_dir + "-before", prune=False), problem).run
    assert before.scorer.is_file()
    return before


def _started(config: RunConfig, problem: Problem, **fields: Any) -> Trainer:
    return Trainer(config.replace(**fields), problem=problem)


@pytest.mark.parametrize("weighter", ["beta", "counts"])
@pytest.mark.parametrize("targets", [1, 2])
def test_distributions_start_from_the_predicted_mean_with_the_evidence_of_ignorance(
    config: RunConfig, problem: Problem, rated: RunDirectory, weighter: str, targets: int
) -> None:
    names = ["a", "b"][:targets]
    several = Problem(problem.source, dict.fromkeys(names, problem.target))
    trainer = _started(config, several, weighter=weighter, targets=names, start_from=f"run:{rated.path}")
    means = ScorerFiles.of(rated).load(torch.device("cpu"))(problem.source.images).mean
    expected = np.clip(means, LEAST_MEAN, 1 - LEAST_MEAN)
    assert np.ptp(expected) > 0
    inner = trainer.learner.weighter
    tables = inner.column_tables()  # type: ignore[attr-defined]
    assert len(tables) == targets
    for table in tables:
        np.testing.assert_allclose(table.mean, expected, rtol=1e-6)
        np.testing.assert_allclose(table.a + table.b, 2, rtol=1e-6)
    assert trainer.mask.count == len(problem.source), "nothing is pruned before something was learnt"


def test_point_weights_start_from_the_predicted_mean(config: RunConfig, problem: Problem, rated: RunDirectory) -> None:
    trainer = _started(config, problem, weighter="point", start_from=str(rated.scorer))
    means = ScorerFiles.of(rated).load(torch.device("cpu"))(problem.source.images).mean
    np.testing.assert_allclose(trainer.learner.weighter.table().mean, means, rtol=1e-6)
    assert not trainer.learner.weighter.useless().any()


def test_a_resumed_run_does_not_start_again(config: RunConfig, problem: Problem, rated: RunDirectory) -> None:
    config = config.replace(start_from=f"run:{rated.path}")
    whole = run_to_end(config.replace(run_dir=config.output.run_dir + "-whole"), problem)
    run_to_end(config.replace(epochs=2), problem)
    assert_same_end(run_to_end(config.replace(resume=True), problem), whole)


def test_the_scorer_is_a_part_of_the_runs_identity_and_its_place_is_not(
    config: RunConfig, rated: RunDirectory, tmp_path: Path
) -> None:
    shutil.copytree(rated.path, tmp_path / "moved")
    one, moved = (config.replace(start_from=f"run:{path}") for path in (rated.path, tmp_path / "moved"))
    assert settings(one) == settings(moved)
    assert settings(one) != settings(config)
    assert differences(one.flat(), moved.flat()) == []
    (tmp_path / "moved" / "scorer.safetensors").write_bytes(b"other")
    content = settings(one)["start_from_content"]
    with pytest.raises(InputError, match=f"^start_from: .*allowed: a scorer with the content {content}, not "):
        settings(moved.replace(start_from_content=content))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"weighter": "l2rw"}, "cannot work with weighter 'l2rw', whose weights begin anew in every step; "),
        (
            {"weights_per": "image_and_task", "pretext": "multitask", "pretext.tasks": ["rotation", "vae"]},
            "cannot work with weights_per 'image_and_task': the scorer is about images; allowed: none",
        ),
    ],
)
def test_what_cannot_start_is_refused(
    config: RunConfig, rated: RunDirectory, fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError) as error:
        check(config.replace(norm="group", start_from=str(rated.scorer), **fields))
    assert str(error.value).startswith(f"start_from: {str(rated.scorer)!r} {said}")


def test_files_that_are_no_scorer_are_refused(config: RunConfig, problem: Problem, rated: RunDirectory) -> None:
    with pytest.raises(InputError, match=r"^start_from: 'run:.*nowhere' cannot be read \(No such file"):
        _started(config, problem, start_from=f"run:{rated.path / 'nowhere'}")
    with pytest.raises(InputError, match=r"^start_from: '.*encoder.safetensors': run: scorer.safetensors belongs to"):
        _started(config, problem, start_from=str(rated.encoder))
    assert not list(Path(config.output.run_dir).glob("checkpoints/*"))
