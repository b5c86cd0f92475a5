"""What a run tells its pretext task between steps and epochs."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor

from bdw.config import RunConfig
from bdw.data import Problem
from bdw.encoders import Encoder
from bdw.pretext import Outputs
from bdw.pretext.rotation import Rotation
from bdw.training.trainer import Trainer


def test_a_task_sees_the_kept_images_before_an_epoch_and_the_outputs_after_a_step(
    config: RunConfig, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs: list[list[int]] = []
    progress: list[float] = []

    def begin_epoch(self: Rotation, encoder: Encoder, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        seen = []
        for indices, images in batches:
            assert torch.equal(images, torch.from_numpy(problem.source.images[indices.numpy()]))
            seen += indices.tolist()
        epochs.append(seen)

    def after_step(self: Rotation, encoder: Encoder, outputs: Outputs, used: float) -> None:
        assert encoder.feature_dim == self.head.in_features
        assert not outputs.z[0].requires_grad
        progress.append(used)

    monkeypatch.setattr(Rotation, "begin_epoch", begin_epoch)
    monkeypatch.setattr(Rotation, "after_step", after_step)
    trainer = Trainer(config.replace(prune=False), problem=problem)
    reports = list(trainer.epochs())
    assert epochs == [list(range(len(problem.source)))] * len(reports)
    assert len(progress) == sum(report.steps for report in reports)
    assert progress == sorted(progress)
    assert progress[0] > 0
    assert progress[-1] == pytest.approx(1)
