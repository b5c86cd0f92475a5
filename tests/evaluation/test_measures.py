"""The registry: directions, formats, and what each measure is fitted and measured on."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bdw import encoders, evaluation
from bdw.data import LabelledImages
from bdw.data.labelled_images import Target
from bdw.errors import InputError
from bdw.evaluation import Examination
from bdw.evaluation.features import Settings
from bdw.evaluation.semi_supervised import UnlabelledImages
from bdw.pretext import PretextModel
from tests.pretext.models import model_of, views_of


@pytest.fixture
def target() -> Target:
    rng = np.random.default_rng(0)

    def part(count: int) -> LabelledImages:
        labels = np.arange(count, dtype=np.int64) % 2
        return LabelledImages(rng.integers(0, 256, (count, 1, 16, 16), dtype=np.uint8), labels)

    return Target(part(40), part(20), part(10), ("a", "b"), key="k")


@pytest.fixture
def model() -> PretextModel:
    torch.manual_seed(0)
    return model_of(encoders.build("mlp", 1, 16), "vae")


def test_better() -> None:
    accuracy, loss = evaluation.measure("accuracy"), evaluation.measure("pretext_loss")
    assert accuracy.better(0.6, than=0.5)
    assert not accuracy.better(0.5, than=0.5)
    assert loss.better(1.0, than=2.0)
    assert not loss.better(2.0, than=1.0)
    for measure in (accuracy, loss):
        assert measure.better(1.0, than=math.nan)
        assert not measure.better(math.nan, than=1.0)
        assert not measure.better(math.nan, than=math.nan)


def test_shown() -> None:
    assert evaluation.measure("accuracy").shown(0.8125) == "81.2 %"
    assert evaluation.measure("pretext_loss").shown(1195.417) == "1,195.42"
    assert evaluation.measure("rankme").shown(math.nan) == "–"
    assert [evaluation.measure(name).heading for name in ("accuracy", "pretext_loss")] == [
        "accuracy (%)",
        "pretext loss",
    ]


def test_the_pretext_loss_is_a_mean_over_instances_with_the_same_noise(model: PretextModel, target: Target) -> None:
    measure = evaluation.measure("pretext_loss")

    def score(batch_size: int) -> float:
        settings = Settings(crop_size=16, batch_size=batch_size)
        return measure.evaluate(
            Examination(encoder=model.encoder, model=model, target=target, split="test", settings=settings)
        )

    scores = [score(batch_size) for batch_size in (10, 10, 1)]
    assert scores[0] == scores[1]
    images = torch.from_numpy(target.test.images).float() / 127.5 - 1
    views = views_of(model, images)
    assert scores[0] == pytest.approx(float(model.losses(views).detach().mean()), rel=1e-6)
    # One image at a time draws the same numbers in the same order.
    assert scores[2] == pytest.approx(scores[0], rel=1e-5)


@pytest.mark.parametrize("name", sorted(set(evaluation.available()) - {"fine_tuned_accuracy"}))
@pytest.mark.parametrize("split", ["validation", "test"])
def test_every_measure_gives_a_number(name: str, split: str, model: PretextModel, target: Target) -> None:
    kept = UnlabelledImages(target.train.images, np.arange(0, 40, 2))
    of = Examination(
        encoder=model.encoder,
        model=model,
        target=target,
        split=split,
        settings=Settings(crop_size=16, semi_supervised_steps=2),  # type: ignore[arg-type]
        unlabelled=kept,
    )
    assert math.isfinite(evaluation.measure(name).evaluate(of))


def test_an_unknown_name_is_refused_by_its_field() -> None:
    with pytest.raises(InputError, match=r"monitors: 'rankyou' is not known .*rankme"):
        evaluation.measure("rankyou", "monitors")
