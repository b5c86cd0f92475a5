"""SimCLR against the paper's equation, written out view by view."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from bdw.config import RunConfig
from bdw.config.pretext_options.simclr import SimCLROptions
from bdw.data import Problem
from bdw.errors import InputError
from bdw.pretext.simclr import SimCLR, nt_xent
from bdw.training.trainer import Trainer
from bdw.weighting.gradient.estimators import ForwardMode, Head
from tests.pretext.cases import CASES, small_encoder
from tests.pretext.models import views_of


def _unit(count: int) -> Tensor:
    rows = torch.randn(count, 2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return rows / rows.norm(dim=2, keepdim=True)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_losses_are_equation_1(temperature: float) -> None:
    projections = _unit(4)
    found = nt_xent(projections, temperature)
    rows = projections.flatten(0, 1)
    for i in range(8):
        j = i + 1 if i % 2 == 0 else i - 1
        others = sum(math.exp(float(rows[i] @ rows[n]) / temperature) for n in range(8) if n != i)
        expected = -math.log(math.exp(float(rows[i] @ rows[j]) / temperature) / others)
        assert float(found[i // 2, i % 2]) == pytest.approx(expected, rel=1e-12)


def test_alone_an_image_has_nothing_to_be_told_from() -> None:
    assert nt_xent(_unit(1), 0.5).tolist() == [[0.0, 0.0]]


def test_an_instances_loss_is_the_mean_over_its_two_views() -> None:
    model = CASES["simclr"].model()
    outputs = model(views_of(model, CASES["simclr"].images(7)))
    lengths = outputs.z[0].norm(dim=2)
    torch.testing.assert_close(lengths, torch.ones_like(lengths), rtol=1e-12, atol=1e-12)
    expected = nt_xent(outputs.z[0], model.task.options.temperature).mean(dim=1)
    torch.testing.assert_close(model.task.losses(outputs), expected, rtol=0, atol=0)
    assert outputs.hits is None
    assert outputs.features.shape == (14, 5)


def test_options_size_the_projector() -> None:
    def widths(**options: object) -> list[tuple[int, int]]:
        task = SimCLR(small_encoder(3, 6, "group"), SimCLROptions(**options))
        return [(m.in_features, m.out_features) for m in task.projector if isinstance(m, nn.Linear)]

    assert widths() == [(5, 5), (5, 128)]
    assert widths(hidden_dim=9, projection_dim=3) == [(5, 9), (9, 3)]


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("temperature", 0.0, "a number above 0"),
        ("temperature", math.inf, "a number above 0"),
        ("projection_dim", 0, "at least 1"),
        ("hidden_dim", 0, "at least 1, or none for the features'"),
        ("least_area", 0.0, "above 0, at most 1"),
        ("flip", 1.5, "0 to 1"),
        ("blur", -0.1, "0 to 1"),
        ("jitter_strength", 3.0, "0 to 2.5, half a turn of hue"),
    ],
)
def test_options_that_cannot_work_are_refused(field: str, value: float, allowed: str) -> None:
    with pytest.raises(InputError) as error:
        SimCLROptions(**{field: value})
    assert str(error.value) == f"pretext.{field}: {value} cannot work; allowed: {allowed}"


@pytest.mark.parametrize("encoder", ["small_cnn", "mlp", pytest.param("small_vit", marks=pytest.mark.long)])
@pytest.mark.parametrize("meta_loss", ["prototype", "pretext"])
def test_it_trains_with_either_meta_loss_and_any_encoder(
    config: RunConfig, problem: Problem, encoder: str, meta_loss: str
) -> None:
    settings = {"pretext": "simclr", "encoder": encoder, "meta_loss": meta_loss, "crop_size": 8, "epochs": 1}
    trainer = Trainer(config.replace(**settings), problem=problem)
    (report,) = trainer.epochs()
    assert math.isfinite(report.loss)
    assert math.isfinite(report.meta_loss)
    assert isinstance(trainer.learner.alignment.estimator, ForwardMode)


def test_the_recommended_shortcuts_run_with_it(config: RunConfig, problem: Problem) -> None:
    settings = {
        "pretext": "simclr", "meta_loss": "pretext", "direction_parameters": "head", "target_statistics": "source",
        "relative_derivatives": True, "target_margin": 0.06, "weighter": "counts", "weighted_loss": False,
        "direction_momentum": 0.9, "measure": "pretext_loss", "epochs": 2,
    }  # fmt: skip
    trainer = Trainer(config.replace(**settings), problem=problem)
    reports = list(trainer.epochs())
    assert isinstance(trainer.learner.alignment.estimator, Head)
    assert all(math.isfinite(report.validation_score) for report in reports)
