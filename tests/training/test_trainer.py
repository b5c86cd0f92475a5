"""The loop: equal to plain training where it must be, heard by its listener, and kept from pruning everything."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bdw import encoders
from bdw.config import RunConfig
from bdw.data import Problem, pack_arrays
from bdw.data.augment import random_crop_flip
from bdw.data.batches import epoch_order, global_batches
from bdw.errors import InputError
from bdw.parallel.randomness import Randomness, drawn_from
from bdw.runs import checkpoint
from bdw.runs.metrics import EpochReport, Silent, StepReport
from bdw.training.trainer import Trainer, iterate
from bdw.weighting import registry as weighters
from bdw.weighting.weighters.beta import BetaWeighter
from bdw.weighting.weighters.protocol import WeightSample
from tests.training.comparison import assert_equal, parameters_of, run_to_end

NUM_SOURCE = 50


def _plain_training(config: RunConfig, problem: Problem) -> dict[str, Tensor]:
    """RotNet written out, without a line of the loop under test."""
    randomness = Randomness(config.optimiser.seed)
    with drawn_from(randomness["model"]):
        encoder = encoders.build(config.encoder.encoder, 1, 16)
        head = nn.Linear(encoder.feature_dim, 4)
    model = nn.ModuleDict({"encoder": encoder, "task": nn.ModuleDict({"head": head})}).train()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    for _ in range(config.budget.epochs):
        order = epoch_order(torch.arange(NUM_SOURCE), randomness["order"])
        for indices in global_batches(order, config.optimiser.batch_size):
            images = torch.from_numpy(problem.source.images[indices.numpy()])
            images = random_crop_flip(images, 12, 2, False, randomness["augmentation"])
            views = torch.stack([torch.rot90(images, q, (2, 3)) for q in range(4)], dim=1).flatten(0, 1)
            sgd.zero_grad()
            angles = torch.arange(4).repeat(len(indices))
            losses = functional.cross_entropy(head(encoder(views)), angles, reduction="none")
            losses.view(-1, 4).mean(dim=1).mean().backward()
            sgd.step()
    return dict(model.state_dict())


class _FixedAtOne(BetaWeighter):
    """Learns its Beta table as ever, but hands out ones."""

    def sample(self, indices: Tensor, generator: torch.Generator) -> WeightSample:
        drawn = super().sample(indices, generator)
        one = drawn.weights * 0 + 1
        return dataclasses.replace(drawn, weights=one)


def test_uniform_weights_are_plain_training_bit_for_bit(config: RunConfig, problem: Problem) -> None:
    trainer = run_to_end(config.replace(weighter="uniform"), problem)
    assert_equal(parameters_of(trainer), _plain_training(config, problem))


def test_weights_fixed_at_one_without_pruning_are_plain_training_bit_for_bit(
    config: RunConfig, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The meta pass, the tangents and the weights' draws must leave no trace in the model."""

    plain = run_to_end(config.replace(weighter="uniform"), problem)
    fixed = _FixedAtOne.from_config(config.weighter, len(problem.source))
    monkeypatch.setattr(weighters, "build", lambda *_: fixed)
    weighted = run_to_end(config.replace(prune=False, run_dir=config.output.run_dir + "-weighted"), problem)
    assert weighted.learner.meta_loss is not None
    assert not math.isnan(weighted.history[-1].meta_loss)
    assert_equal(parameters_of(weighted), parameters_of(plain))


def test_verdicts_on_a_pool_with_black_and_white_images(config: RunConfig, problem: Problem, tmp_path: Path) -> None:
    """Which have no composition at all: every image is judged once an epoch, by a number."""
    images = np.array(problem.source.images)
    images[:5], images[5:10] = 0, 255
    blanks = dataclasses.replace(problem, source=pack_arrays(tmp_path / "blanks", images))
    options = {"weighter": "counts", "meta_loss": "pretext", "target_margin": 0.5, "prune": False}
    trained = run_to_end(config.replace(epochs=2, weight_lr=0.5, **options), blanks)
    table = trained.learner.weighter.table()
    np.testing.assert_allclose(table.a + table.b, 2 + 2 * 0.5)
    assert len(np.unique(table.a)) > NUM_SOURCE / 2
    assert trained.learner.verdicts is not None
    assert trained.learner.verdicts.state_dict()["moments"].isfinite().all()


def test_stopping_early_is_not_asking_for_the_next_epoch(config: RunConfig, problem: Problem) -> None:
    reports = iterate(config, problem=problem)
    assert next(reports).epoch == 1
    reports.close()
    path = checkpoint.last(Path(config.output.run_dir) / "checkpoints")
    assert path is not None
    assert len(checkpoint.load(path)["history"]) == 1
    later = list(iterate(config.replace(resume=True), problem=problem))
    assert [report.epoch for report in later] == [2, 3]


def test_the_listener_hears_every_step_and_epoch(config: RunConfig, problem: Problem) -> None:
    class Recorder(Silent):
        def __init__(self) -> None:
            self.steps: list[StepReport] = []
            self.epochs: list[EpochReport] = []

        def on_step(self, report: StepReport) -> None:
            self.steps.append(report)

        def on_epoch(self, report: EpochReport) -> None:
            self.epochs.append(report)

    recorder = Recorder()
    history = list(iterate(config.replace(prune=False), problem=problem, listener=recorder))
    assert recorder.epochs == history
    assert [(r.epoch, r.step) for r in recorder.steps] == [(e, s) for e in (1, 2, 3) for s in (1, 2, 3, 4)]


def test_the_learning_rate_falls_after_its_milestones(config: RunConfig, problem: Problem) -> None:
    history = list(iterate(config.replace(lr_milestones=[1, 2]), problem=problem))
    assert [r.learning_rate for r in history] == pytest.approx([0.1, 0.01, 0.001])


def test_evaluation_can_be_rarer_but_never_misses_the_last_epoch(config: RunConfig, problem: Problem) -> None:
    history = list(iterate(config.replace(evaluate_every=2), problem=problem))
    assert [math.isnan(r.validation_score) for r in history] == [True, False, False]


def test_everything_pruned_keeps_a_floor_and_says_so(
    config: RunConfig, problem: Problem, caplog: pytest.LogCaptureFixture
) -> None:
    settings = config.replace(cdf_threshold=0.9, density_threshold=0.9, min_kept=40)
    with caplog.at_level(logging.WARNING):
        history = list(iterate(settings, problem=problem))
    assert [r.kept for r in history] == [40, 40, 40]
    assert "kept the 40" in caplog.text


def test_counts_that_would_prune_everything_keep_the_share_that_is_asked_for(
    config: RunConfig, problem: Problem, caplog: pytest.LogCaptureFixture
) -> None:
    settings = config.replace(weighter="counts", cdf_threshold=0.9, density_threshold=0.9, min_kept=None)
    with caplog.at_level(logging.WARNING):
        history = list(iterate(settings.replace(kept_share=0.7), problem=problem))
    assert [r.kept for r in history] == [35, 35, 35], "7 of 10 of the 50"
    assert "kept the 35" in caplog.text


def test_a_random_subset_is_all_that_is_trained_on(config: RunConfig, problem: Problem) -> None:
    trainers = [
        run_to_end(
            config.replace(
                weighter="random", kept_share=0.6, min_kept=None, seed=seed, run_dir=f"{config.output.run_dir}-{number}"
            ),
            problem,
        )
        for number, seed in enumerate((0, 0, 1))
    ]
    first, again, other = (trainer.mask.kept for trainer in trainers)
    assert [report.kept for report in trainers[0].history] == [30, 30, 30]
    assert [report.instances_seen for report in trainers[0].history] == [30, 60, 90]
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_planted_junk_is_found_with_the_pretext_meta_loss(seed: int, tmp_path: Path) -> None:
    config = RunConfig().replace(
        **{"run_dir": str(tmp_path / "run"), "meta_loss": "pretext", "prune": False, "seed": seed}
    )
    assert max(report.planted_auroc for report in itertools.islice(iterate(config), 4)) >= 0.75


def test_tangents_on_fewer_views_than_there_are(config: RunConfig, problem: Problem) -> None:
    exact = run_to_end(config, problem)
    subset = run_to_end(config.replace(run_dir=f"{config.output.run_dir}-one", tangent_views=1), problem)
    all_views = run_to_end(config.replace(run_dir=f"{config.output.run_dir}-four", tangent_views=4), problem)
    tables = [trainer.learner.weighter.table().a for trainer in (exact, subset, all_views)]
    np.testing.assert_array_equal(tables[0], tables[2])
    assert (tables[0] != tables[1]).any()
    with pytest.raises(InputError, match=r"tangent_views: 5 cannot work, an image has 4 view\(s\) in 'rotation'"):
        Trainer(config.replace(run_dir=f"{config.output.run_dir}-five", tangent_views=5), problem=problem)
