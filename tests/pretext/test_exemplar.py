"""Exemplars: classes of instances, pruned ones, images without a class, and the loss written out class by class."""

from __future__ import annotations

import math

import pytest
import torch

from bdw.config.pretext_options.exemplar import ExemplarOptions
from bdw.errors import InputError
from bdw.pretext import PretextModel
from bdw.pretext.exemplar import Exemplar
from tests.pretext.cases import CASES, INSTANCES, small_encoder
from tests.pretext.models import views_of


def _model(instances: int = 9, **options: int) -> PretextModel:
    torch.manual_seed(0)
    encoder = small_encoder(3, 6, "group")
    task = Exemplar(encoder, ExemplarOptions(**options))
    task.keep(torch.ones(instances, dtype=torch.bool))
    return PretextModel(encoder, task).double().train()


def test_an_instances_loss_is_the_cross_entropy_of_its_own_class() -> None:
    model = CASES["exemplar"].model()
    views = views_of(model, CASES["exemplar"].images(5), of_source=True)
    outputs = model(views)
    classifier = model.task.classifier
    assert outputs.z[0].shape == (5, INSTANCES)
    for i in range(5):
        feature = model.encoder(views.inputs[0][i : i + 1])[0]
        rows = zip(classifier.weight, classifier.bias, strict=True)
        logits = [float((feature @ row + bias).detach()) for row, bias in rows]
        right = math.exp(logits[i]) / sum(map(math.exp, logits))
        assert float(model.task.losses(outputs)[i].detach()) == pytest.approx(-math.log(right), rel=1e-12)
        assert float(outputs.hits[i]) == (max(logits) == logits[i])


def test_instances_beyond_the_largest_number_share_classes() -> None:
    model = _model(instances=9, most_classes=4)
    images = CASES["exemplar"].images(9)
    outputs = model(views_of(model, images, of_source=True))
    assert outputs.z[0].shape == (9, 4)
    assert outputs.given[0].tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0]


def test_classes_without_images_leave_the_softmax() -> None:
    model = _model(instances=9, most_classes=4)
    kept = torch.ones(9, dtype=torch.bool)
    kept[[1, 5, 2]] = False  # class 1 has lost all of its images, class 2 one of two
    model.task.keep(kept)
    views = views_of(model, CASES["exemplar"].images(1), of_source=True)
    outputs = model(views)
    logits = model.task.classifier(model.encoder(views.inputs[0]))[0].tolist()
    right = math.exp(logits[0]) / sum(math.exp(logits[c]) for c in (0, 2, 3))
    assert float(model.task.losses(outputs).detach()) == pytest.approx(-math.log(right), rel=1e-12)


def test_the_classifier_stays_when_images_are_pruned() -> None:
    task = _model().task
    before = task.classifier
    task.keep(torch.arange(9) > 3)
    assert task.classifier is before
    assert task.kept.tolist() == [False] * 4 + [True] * 5


def test_an_image_outside_the_source_has_the_classes_of_its_crop() -> None:
    model = _model(instances=6)
    views = views_of(model, CASES["exemplar"].images(3))
    outputs, classifier = model(views), model.task.classifier
    losses = model.task.losses(outputs)
    labels = torch.softmax(classifier(model.encoder(views.images)), dim=1)
    logs = torch.log_softmax(classifier(model.encoder(views.inputs[0])), dim=1)
    torch.testing.assert_close(losses, -(labels * logs).sum(dim=1), rtol=1e-12, atol=1e-12)
    (labels_gradient,) = torch.autograd.grad(losses.sum(), classifier.bias)
    torch.testing.assert_close(labels_gradient, (logs.exp() - labels).sum(dim=0), rtol=1e-10, atol=1e-12)
    model.task.keep(torch.arange(6) > 2)
    assert bool(model.losses(views).isfinite().all())


def test_a_source_of_one_image_is_refused() -> None:
    with pytest.raises(InputError) as error:
        _model(instances=1)
    assert str(error.value) == "pretext: 'exemplar' cannot work with 1 image(s); allowed: at least 2"


def test_options_that_cannot_work_are_refused() -> None:
    with pytest.raises(InputError) as error:
        ExemplarOptions(most_classes=1)
    assert str(error.value) == "pretext.most_classes: 1 cannot work; allowed: at least 2"
