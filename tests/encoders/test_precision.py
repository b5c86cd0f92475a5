"""What bfloat16 leaves of a step's derivatives, against the same step in float32; where it is used and where not."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bdw import encoders
from bdw.config import Precision, RunConfig
from bdw.data import LabelledImages, Problem, load
from bdw.encoders import Encoder, precision
from bdw.errors import InputError
from bdw.evaluation import fine_tuning
from bdw.evaluation.features import Settings, extract_features
from bdw.pretext import PretextModel
from bdw.pretext.teacher import Teacher
from bdw.training.trainer import Trainer
from bdw.weighting.gradient.conv_cache import ConvCache
from bdw.weighting.gradient.estimators import ForwardMode
from bdw.weighting.gradient.forward_mode import instance_directional_derivatives
from bdw.weighting.gradient.from_training_pass import LayerTangents, layers_of
from bdw.weighting.step import SourceBatch, train_step
from tests.pretext.models import losses_of, model_of, views_of

WARM_UP = 30
"""Steps before the one that is compared: the gradients of an untrained net are not what a run learns from."""


@pytest.fixture(autouse=True)
def _flags() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Problem:
    return load(RunConfig().data, tmp_path_factory.mktemp("digits"))


def _cosine(one: Tensor, other: Tensor) -> float:
    return float(torch.cosine_similarity(one.double(), other.double(), dim=0))


@pytest.mark.parametrize(
    "fields",
    [
        {"encoder": "small_cnn"},
        {"encoder": "small_cnn", "weighter": "l2rw"},
        {"encoder": "small_cnn", "tangent_views": 1},
        {"encoder": "small_cnn", "meta_loss": "pretext", "direction_parameters": "head"},
        {"encoder": "small_resnet"},
        {"encoder": "small_resnet", "meta_loss": "pretext"},
        {"encoder": "mlp", "pretext": "vae", "meta_loss": "pretext", "learning_rate": 1e-4, "momentum": 0.0},
    ],
    ids=lambda fields: "-".join(map(str, fields.values())),
)
def test_derivatives_in_bfloat16_point_where_those_in_float32_do(
    fields: dict[str, Any], digits: Problem, tmp_path: Path
) -> None:
    """One step from the same moment of training with the same draws; cosine of all <v, grad L_i>, so of dL_meta/dw."""
    base = RunConfig().replace(**{"device": "cpu", **fields})
    float32 = Trainer(base.replace(run_dir=str(tmp_path / "1")), problem=digits)
    bfloat16 = Trainer(base.replace(run_dir=str(tmp_path / "2"), precision="bfloat16"), problem=digits)

    def batch() -> SourceBatch:
        indices = torch.randint(len(digits.source), (64,))
        return SourceBatch(indices, float32.images[indices], len(indices))

    torch.manual_seed(0)
    for _ in range(WARM_UP):
        train_step(float32.learner, batch(), learn=fields.get("weighter") == "l2rw")
    bfloat16.learner.model.load_state_dict(float32.learner.model.state_dict())
    bfloat16.learner.optimiser.load_state_dict(copy.deepcopy(float32.learner.optimiser.state_dict()))
    bfloat16.learner.randomness.load_state_dict(float32.learner.randomness.state_dict())
    compared = batch()
    exact, rounded = (train_step(trainer.learner, compared) for trainer in (float32, bfloat16))
    assert exact.derivatives is not None
    assert rounded.derivatives is not None
    assert rounded.derivatives.dtype == rounded.losses.dtype == torch.float32
    assert not torch.equal(rounded.losses, exact.losses), "nothing was rounded"
    torch.testing.assert_close(rounded.losses, exact.losses, rtol=0.05, atol=0.05)
    assert _cosine(rounded.derivatives, exact.derivatives) >= 0.99
    state = [value for entry in bfloat16.learner.optimiser.state.values() for value in entry.values()]
    for tensor in (*bfloat16.learner.model.parameters(), *(value for value in state if isinstance(value, Tensor))):
        assert tensor.dtype == torch.float32


def _convolutions() -> PretextModel:
    backbone = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.ReLU(inplace=True), nn.Conv2d(4, 8, 3, stride=2),
        nn.Flatten(), nn.Linear(72, 16), nn.ReLU(), nn.Linear(16, 5),
    )  # fmt: skip
    return model_of(Encoder(backbone, 1, 5, (1, 8, 8)))


def test_layer_tangents_sum_up_in_float32_what_the_training_pass_left_in_bfloat16() -> None:
    """Layers behind the first have bfloat16 inputs; against forward mode in float32, a thousandth off at most."""
    torch.manual_seed(0)
    model, weights = _convolutions(), torch.rand(6) + 0.1
    views = views_of(model, torch.randn(6, 1, 8, 8))
    params = {name: value.detach().clone() for name, value in model.named_parameters()}
    direction = {name: torch.randn_like(value) for name, value in params.items()}
    exact = instance_directional_derivatives(losses_of(model, views), params, direction)
    precision.compute_in("bfloat16", model.encoder)
    layers = layers_of(model)
    assert layers is not None
    with LayerTangents(layers) as tangents:
        (weights * model.losses(views)).sum().backward()
    found = tangents.derivatives(direction, weights)
    assert found.dtype == torch.float32
    assert _cosine(found, exact) >= 0.999


def test_convolutions_kept_from_a_rounded_training_pass_serve_the_rounded_tangent_pass() -> None:
    """The kept value is the one that would have been computed; the second convolution is wide enough to be kept."""
    torch.manual_seed(0)
    backbone = nn.Sequential(
        nn.Conv2d(1, 224, 3, stride=2), nn.BatchNorm2d(224), nn.ReLU(inplace=True),
        nn.Conv2d(224, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Flatten(),
    )  # fmt: skip
    model = model_of(Encoder(backbone, 1, 4, (1, 8, 8)))
    precision.compute_in("bfloat16", model.encoder)
    views = views_of(model, torch.randn(6, 1, 8, 8))
    with ConvCache() as kept, encoders.untouched_statistics(model):
        model(views)
    values = list(kept)
    assert [value is None or value.dtype for value in values] == [True, torch.bfloat16]
    params = {name: value.detach() for name, value in model.named_parameters()}
    direction = {name: torch.randn_like(value) for name, value in params.items()}
    tangents, weights = ForwardMode(model).derivatives, torch.ones(6)
    alone = tangents(views, weights, 6, params, direction)
    torch.testing.assert_close(tangents(views, weights, 6, params, direction, values), alone, rtol=1e-5, atol=1e-6)


def _dtypes_of_convolutions(encoder: Encoder, run: Any) -> set[torch.dtype]:
    seen: set[torch.dtype] = set()
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, output: seen.add(output.dtype))
        for module in encoder.modules()
        if isinstance(module, nn.Conv2d)
    ]
    run()
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize(("chosen", "expected"), [("bfloat16", torch.bfloat16), ("float32", torch.float32)])
def test_training_is_rounded_and_evaluation_is_not(chosen: Precision, expected: torch.dtype, digits: Problem) -> None:
    encoder = encoders.build("small_cnn", 1, 16)
    precision.compute_in(chosen, encoder)
    images = torch.randn(4, 1, 16, 16)
    assert _dtypes_of_convolutions(encoder, lambda: encoder(images)) == {expected}
    assert encoder(images).dtype == torch.float32
    pixels = digits.target.test.images[:4]
    features: list[Any] = []
    settings = Settings(crop_size=16)
    seen = _dtypes_of_convolutions(encoder, lambda: features.append(extract_features(encoder, pixels, settings)))
    assert seen == {torch.float32}
    few = LabelledImages(pixels, digits.target.test.labels[:4])
    tuner = fine_tuning._Tuner(encoder, few, settings, 1e-4, 0.0)
    assert _dtypes_of_convolutions(tuner._model[0], tuner.train_epoch) == {torch.float32}


@pytest.mark.parametrize("chosen", ["float32", "tf32", "bfloat16"])
def test_only_tf32_lets_a_gpu_round_float32(chosen: Precision) -> None:
    torch.backends.cudnn.allow_tf32 = True  # torch's own default
    if hasattr(torch.backends, "fp32_precision"):  # and what another library may have asked for
        torch.backends.fp32_precision = torch.backends.cudnn.fp32_precision = "tf32"
    precision.compute_in(chosen, encoders.build("small_cnn", 1, 16))
    assert torch.backends.cudnn.allow_tf32 is (chosen == "tf32")
    if hasattr(torch.backends, "fp32_precision"):
        assert (torch.backends.cudnn.conv.fp32_precision == "tf32") is (chosen == "tf32")
    assert not torch.backends.cuda.matmul.allow_tf32, "distances between images are exact to a bound for float32"


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(InputError, match=r"precision: 'float16' is not known.*allowed: bfloat16, float32, tf32"):
        RunConfig().replace(**{"precision": "float16"})


def test_what_a_device_cannot_do_is_refused_before_anything_is_loaded(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"precision: 'tf32' .* not of cpu; allowed: float32, bfloat16"):
        Trainer(config.replace(precision="tf32", source="nonsense"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla V100")
    gpu = torch.device("cuda", 0)
    with pytest.raises(InputError, match=r"precision: 'bfloat16' needs an Ampere GPU .* not a Tesla V100; allowed: f"):
        precision.require_supported("bfloat16", gpu)
    precision.require_supported("float32", gpu)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    precision.require_supported("tf32", gpu)


def test_a_teacher_computes_as_its_student_does() -> None:
    encoder = encoders.build("small_cnn", 1, 16)
    teacher = Teacher(encoder)
    precision.compute_in("bfloat16", nn.ModuleList([encoder, teacher]))
    images = torch.randn(4, 1, 16, 16)
    assert _dtypes_of_convolutions(teacher.copies[0], lambda: teacher(images)) == {torch.bfloat16}
    torch.testing.assert_close(teacher(images), encoder(images).detach())
