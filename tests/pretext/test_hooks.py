"""What a run tells its pretext task between steps and epochs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bdw.config import RunConfig
from bdw.data import Problem
from bdw.encoders import Encoder
from bdw.pretext import Outputs, Views
from bdw.pretext.rotation import Rotation
from bdw.training.trainer import Trainer


def test_a_task_sees_the_kept_images_before_an_epoch_and_the_outputs_after_a_step(
    config: RunConfig, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs: list[list[int]] = []
    progress: list[float] = []
    keeps: list[Tensor] = []

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
    monkeypatch.setattr(Rotation, "keep", lambda self, kept: keeps.append(kept.clone()))
    monkeypatch.setattr(Rotation, "after_step", after_step)
    trainer = Trainer(config.replace(prune=False), problem=problem)
    reports = list(trainer.epochs())
    assert epochs == [list(range(len(problem.source)))] * len(reports)
    # Before any compute, when the run is built, and before every epoch.
    assert len(keeps) == 2 + len(reports)
    assert all(len(kept) == len(problem.source) and bool(kept.all()) for kept in keeps)
    assert len(progress) == sum(report.steps for report in reports)
    assert progress == sorted(progress)
    assert progress[0] > 0
    assert progress[-1] == pytest.approx(1)


def test_a_task_knows_what_is_kept_and_which_instances_a_step_sees(
    config: RunConfig, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Tensor] = []
    seen: list[Tensor] = []
    forward = Rotation.forward

    def recorded(self: Rotation, encoder: Encoder, views: Views) -> Outputs:
        if views.instances is not None:
            seen.append(views.instances)
        return forward(self, encoder, views)

    monkeypatch.setattr(Rotation, "keep", lambda self, mask: kept.append(mask.clone()))
    monkeypatch.setattr(Rotation, "forward", recorded)
    trainer = Trainer(config.replace(epochs=1, prune=False), problem=problem)
    useless = torch.arange(len(problem.source)) % 3 == 0
    trainer.mask.kept &= ~useless
    list(trainer.epochs())
    assert torch.equal(kept[-1], ~useless)
    assert sorted(set(torch.cat(seen).tolist())) == (~useless).nonzero().flatten().tolist()


def test_a_task_begins_with_the_weights_that_were_given(
    config: RunConfig, problem: Problem, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begun: list[Tensor] = []

    def begin(self: Rotation, encoder: nn.Module) -> None:
        begun.append(next(encoder.backbone.parameters()).detach().clone())

    monkeypatch.setattr(Rotation, "begin", begin)
    given = Trainer(config, problem=problem).learner.model.encoder.backbone
    with torch.no_grad():
        next(given.parameters()).fill_(0.25)
    torch.save(given.state_dict(), tmp_path / "given.pt")
    Trainer(config.replace(weights=str(tmp_path / "given.pt")), problem=problem)
    assert len(begun) == 2
    assert bool((begun[1] == 0.25).all())
    assert not bool((begun[0] == 0.25).all())
