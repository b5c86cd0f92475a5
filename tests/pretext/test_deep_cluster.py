"""DeepCluster: whose cluster an image is told to be in, what it costs, and what begins anew."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bdw.config import RunConfig
from bdw.config.pretext_options.deep_cluster import DeepClusterOptions
from bdw.data import Problem
from bdw.errors import InputError
from bdw.pretext import PretextModel
from bdw.pretext.clustering import clustered
from bdw.pretext.deep_cluster import DeepCluster
from bdw.training.trainer import Trainer
from bdw.weighting.gradient.estimators import TrainingPass
from tests.pretext.cases import CASES, small_encoder
from tests.pretext.models import as_stored, views_of
from tests.workers import on_workers

COUNT = 40


def _images() -> Tensor:
    """Of two kinds, dark and light, by turns."""
    images = CASES["deep_cluster"].images(COUNT) // 4
    images[::2] += 150
    return images


def _task(clusters: int | None = 3, images: int = COUNT) -> tuple[PretextModel, DeepCluster]:
    torch.manual_seed(0)
    encoder = small_encoder(1, 6, "group")
    task = DeepCluster(encoder, DeepClusterOptions(clusters=clusters))
    task.keep(torch.ones(images, dtype=torch.bool))
    return PretextModel(encoder, task).double().train(), task


def _begun(clusters: int | None = 3, batch: int = 7) -> tuple[PretextModel, DeepCluster]:
    model, task = _task(clusters)
    indices = torch.arange(COUNT).split(batch)
    task.begin_epoch(model.encoder, zip(indices, _images().split(batch), strict=True))
    return model, task


def test_labels_are_the_clusters_of_the_encoders_features() -> None:
    model, task = _begun()
    with torch.no_grad():
        features = model.encoder(as_stored(_images())).float().numpy()
    expected = clustered(features, 3, 5, seed=0)
    assert task.labels.tolist() == expected.labels.tolist()
    assert model.encoder.training
    torch.testing.assert_close(task.centres[:, : expected.centres.shape[1]].float(), torch.from_numpy(expected.centres))


def test_two_clusters_are_the_two_kinds_of_images() -> None:
    _, task = _begun(clusters=2)
    assert len(task.labels[::2].unique()) == len(task.labels[1::2].unique()) == 1
    assert task.labels[0] != task.labels[1]


def test_losses_are_cross_entropies_in_which_every_cluster_counts_the_same() -> None:
    model, task = _begun()
    outputs = model(views_of(model, _images(), of_source=True))
    found = task.losses(outputs).detach()
    logits = outputs.z[0].detach().numpy()
    sizes = np.bincount(task.labels.numpy(), minlength=3)
    assert sizes.min() > 0
    for i in range(COUNT):
        label = int(task.labels[i])
        expected = math.log(np.exp(logits[i]).sum()) - logits[i, label]
        assert float(found[i]) == pytest.approx(expected * COUNT / (3 * sizes[label]), rel=1e-10)
    totals = [float(task.factors[label]) * sizes[label] for label in range(3)]
    assert totals == pytest.approx([COUNT / 3] * 3)


def test_images_outside_the_source_belong_to_the_nearest_cluster() -> None:
    """The source's own images, as if they were of the target, have the labels that k-means gave them."""
    model, task = _begun(clusters=2)
    outputs = model(views_of(model, _images()))
    assert outputs.given[0].tolist() == task.labels.tolist()


def test_every_epoch_begins_with_another_classifier_and_the_same_encoder() -> None:
    model, task = _begun()
    first, encoder = task.head.weight.clone(), copy.deepcopy(model.encoder.state_dict())
    with torch.no_grad():
        task.head.bias.add_(1)
    task.begin_epoch(model.encoder, [(torch.arange(COUNT), _images())])
    assert not torch.equal(task.head.weight, first)
    assert float(task.head.weight.std().detach()) == pytest.approx(0.01, rel=0.5)
    assert float(task.head.bias.abs().max().detach()) == 0
    assert int(task.epochs) == 2
    assert all(torch.equal(value, encoder[name]) for name, value in model.encoder.state_dict().items())


def test_fewer_kept_images_have_fewer_clusters_and_pruned_ones_none() -> None:
    model, task = _task(clusters=None, images=128 * 6)
    assert task.head.out_features == 6
    kept = torch.arange(0, 256)
    images = CASES["deep_cluster"].images(256)
    task.begin_epoch(model.encoder, [(kept, images)])
    assert task.used.tolist() == [True] * 2 + [False] * 4
    outputs = model(views_of(model, images[:9], of_source=True))
    assert bool(outputs.z[0][:, 2:].isneginf().all())
    assert bool(task.losses(outputs).isfinite().all())


def test_more_clusters_than_images_are_refused() -> None:
    with pytest.raises(InputError) as error:
        _task(clusters=50)
    assert str(error.value) == (
        "pretext.clusters: 50 cannot work with 40 images; allowed: 2 to 40, or none for one to 128"
    )


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [("clusters", 1, "at least 2, or none for one to 128"), ("components", 0, "at least 1")],
)
def test_options_that_cannot_work_are_refused(field: str, value: int, allowed: str) -> None:
    with pytest.raises(InputError) as error:
        DeepClusterOptions(**{field: value})
    assert str(error.value) == f"pretext.{field}: {value} cannot work; allowed: {allowed}"


def _state_after_clustering() -> dict[str, Tensor]:
    _, task = _begun(batch=15)
    return {name: value.clone() for name, value in task.state_dict().items()}


def test_workers_share_the_features_and_have_the_same_clusters(tmp_path: Path) -> None:
    expected = _state_after_clustering()
    for result in on_workers(2, tmp_path / "results", _state_after_clustering):
        assert result["labels"].tolist() == expected["labels"].tolist()
        for name, value in expected.items():
            torch.testing.assert_close(result[name], value, rtol=1e-5, atol=1e-5)


def test_a_run_clusters_before_every_epoch_and_reads_weights_from_the_training_pass(
    config: RunConfig, problem: Problem
) -> None:
    settings = {"pretext": "deep_cluster", "pretext.clusters": 4, "meta_loss": "pretext", "encoder": "mlp", "epochs": 2}
    trainer = Trainer(config.replace(**settings), problem=problem)
    reports = list(trainer.epochs())
    task = trainer.learner.model.task
    assert int(task.epochs) == 2
    assert all(math.isfinite(report.loss) for report in reports)
    assert isinstance(trainer.learner.alignment.estimator, TrainingPass)
    assert len(task.labels) == len(problem.source)
