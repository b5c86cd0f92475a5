"""What a run leaves to score images by, and how it refuses what does not belong together."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from bdw.config import RunConfig
from bdw.data import Problem
from bdw.data.decode import fit_array
from bdw.errors import InputError
from bdw.report import write_run_report
from bdw.runs.directory import RunDirectory
from bdw.scoring.fitting import HELD_OUT_SHARE, LEAST_SAMPLE, fit_scorer
from bdw.scoring.scorer import ScorerFiles, held_out_of
from bdw.storage.tensor_file import tensors_in, write_tensors
from bdw.training.trainer import Trainer, iterate
from bdw.weighting.weighters.protocol import WeightTable

CPU = torch.device("cpu")


def test_a_run_that_learns_leaves_a_scorer_of_its_table(finished: RunDirectory, problem: Problem) -> None:
    ratings = ScorerFiles.of(finished).load(CPU)(problem.source.images)
    table = pq.read_table(finished.instance_weights)
    mean = table["mean"].to_numpy()
    assert np.ptp(mean) > 0
    assert np.corrcoef(ratings.mean, mean)[0, 1] > 0.5, "images of its own table"
    found = held_out_of(finished.scorer)
    assert found.images == round(HELD_OUT_SHARE * 50)
    assert found.learnt_from + found.images == 50
    page = write_run_report(finished.path).read_text(encoding="utf-8")
    assert "Scores for new images" in page
    assert "It learnt from 40 images of the source" in page


def test_scores_do_not_depend_on_which_images_meet(
    finished: RunDirectory, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = ScorerFiles.of(finished).load(CPU)
    whole = scorer(problem.source.images)
    monkeypatch.setattr("bdw.scoring.scorer.BATCH_SIZE", 7)
    parts = scorer(problem.source.images)
    np.testing.assert_allclose(parts.predicted, whole.predicted, rtol=0, atol=1e-5)


def test_images_of_another_size_and_colour_are_converted(finished: RunDirectory, problem: Problem) -> None:
    """As the readers of pools do it (`fit_array`); three equal channels are grey."""
    scorer = ScorerFiles.of(finished).load(CPU)
    images = np.asarray(problem.source.images)
    in_three = np.repeat(images, 3, axis=1)
    np.testing.assert_allclose(scorer(in_three).predicted, scorer(images).predicted, rtol=0, atol=1e-9)
    larger = in_three.repeat(3, axis=2).repeat(3, axis=3)
    fitted = np.stack([fit_array(image.transpose(1, 2, 0), 1, 12) for image in larger])
    np.testing.assert_allclose(scorer(larger).predicted, scorer(fitted).predicted, rtol=0, atol=1e-9)


def test_point_weights_have_scores_without_a_distribution(config: RunConfig, problem: Problem) -> None:
    run = RunDirectory(Path(config.output.run_dir))
    list(iterate(config.replace(weighter="point", weight_lr=1.0, prune=False), problem=problem))
    ratings = ScorerFiles.of(run).load(CPU)(problem.source.images)
    assert np.isnan(ratings.a).all()
    assert np.isfinite(ratings.mean).all()
    assert np.ptp(ratings.predicted) > 0


def test_images_of_which_nothing_was_learnt_take_no_part(
    finished: RunDirectory, problem: Problem, tmp_path: Path
) -> None:
    """Those that still have the uniform prior; and with fewer than `LEAST_SAMPLE` others there is no scorer."""
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(finished.path, run.path)
    table = pq.read_table(run.instance_weights)
    columns = {name: table[name].to_numpy().copy() for name in ("a", "b", "mean", "variance")}
    columns["a"], columns["b"] = np.linspace(2, 9, 50), np.linspace(9, 2, 50)
    columns["a"][LEAST_SAMPLE:] = columns["b"][LEAST_SAMPLE:] = 1
    columns["mean"] = columns["a"] / (columns["a"] + columns["b"])
    kept = np.arange(50) % 2 == 0
    found = fit_scorer(run, problem.source, WeightTable(**columns), kept, CPU)
    assert found is not None
    assert found.learnt_from + found.images == LEAST_SAMPLE
    columns["a"][0] = columns["b"][0] = 1
    run.scorer.unlink()
    assert fit_scorer(run, problem.source, WeightTable(**columns), kept, CPU) is None
    assert not run.scorer.exists()


def test_a_run_of_fixed_weights_leaves_none_and_says_so(config: RunConfig, problem: Problem) -> None:
    run = RunDirectory(Path(config.output.run_dir))
    list(iterate(config.replace(weighter="uniform", epochs=1), problem=problem))
    assert not run.scorer.exists()
    with pytest.raises(
        InputError, match="never learnt weights \\(weighter 'uniform'\\), so it has nothing to score by"
    ):
        ScorerFiles.of(run)


def test_a_run_that_goes_on_has_no_scorer_until_it_ends(config: RunConfig, problem: Problem) -> None:
    run = RunDirectory(Path(config.output.run_dir))
    list(iterate(config, problem=problem))
    assert run.scorer.is_file()
    epochs = Trainer(config.replace(epochs=5, resume=True), problem=problem).epochs()
    next(epochs)
    assert not run.scorer.exists()
    with pytest.raises(InputError, match="has not finished; allowed: a finished run"):
        ScorerFiles.of(run)
    list(epochs)
    ScorerFiles.of(run).load(CPU)


def test_files_that_do_not_belong_together_are_refused(finished: RunDirectory, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(finished.path, run.path)
    tensors, metadata = tensors_in(run.encoder.read_bytes(), "it")
    write_tensors(run.encoder, {name: value + 1 for name, value in tensors.items()}, metadata)
    with pytest.raises(InputError, match="belongs to another encoder"):
        ScorerFiles.of(run).load(CPU)
    run.scorer.write_bytes(b"not a scorer")
    with pytest.raises(InputError, match="scorer file cannot be read"):
        ScorerFiles.of(run).load(CPU)
    with pytest.raises(InputError, match="does not exist; allowed: the directory of a run"):
        ScorerFiles.of(RunDirectory(tmp_path / "nothing"))
