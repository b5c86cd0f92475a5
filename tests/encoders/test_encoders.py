"""Encoders: shapes, what is taken home loads into torchvision, target batches leave the statistics alone."""

from __future__ import annotations

import contextlib

import pytest
import torch
import torchvision
from torch import Tensor, nn

from bdw import encoders
from bdw.errors import InputError


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", encoders.available())
def test_features_have_the_announced_shape(name: str, channels: int) -> None:
    encoder = encoders.build(name, channels, 32)
    assert encoder(torch.zeros(2, channels, 32, 32)).shape == (2, encoder.feature_dim)


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101"])
def test_the_backbone_is_torchvisions_own(name: str) -> None:
    encoder = encoders.build(name, 3, 16)
    theirs = getattr(torchvision.models, name)()
    theirs.fc = nn.Identity()
    theirs.load_state_dict(encoder.backbone.state_dict(), strict=True)
    images = torch.randn(2, 3, 48, 48, dtype=torch.float64)
    # To rounding: ours computes with channels last in memory.
    ours = encoder.double().eval()(images)
    torch.testing.assert_close(ours, theirs.double().eval()(images), rtol=1e-10, atol=1e-10)


def test_the_same_seed_builds_the_same_encoder() -> None:
    built = []
    for _ in range(2):
        torch.manual_seed(5)
        built.append(encoders.build("small_resnet", 1, 16).state_dict())
    assert all(torch.equal(built[0][name], built[1][name]) for name in built[0])


def test_untouched_statistics_normalises_as_in_training_and_writes_nothing() -> None:
    encoder = encoders.build("small_resnet", 1, 16).train()
    twin = encoders.build("small_resnet", 1, 16).train()
    twin.load_state_dict(encoder.state_dict())
    images = torch.randn(8, 1, 16, 16)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    with encoders.untouched_statistics(encoder):
        inside = encoder(images)
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())
    assert torch.equal(inside, twin(images)), "batch statistics, as in training mode"
    encoder(images)
    assert any(not torch.equal(before[name], value) for name, value in encoder.state_dict().items())


def _moved(name: str) -> encoders.Encoder:
    """An encoder in training mode whose running statistics are not what they begin with."""
    encoder = encoders.build(name, 1, 16).double().train()
    encoder(3 * torch.randn(16, 1, 16, 16, dtype=torch.float64) + 1)
    return encoder


@pytest.mark.parametrize("name", ["small_cnn", "small_resnet"])
def test_source_statistics_normalises_as_in_evaluation_and_writes_nothing(name: str) -> None:
    encoder, images = _moved(name), torch.randn(8, 1, 16, 16, dtype=torch.float64)
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    expected = encoder.eval()(images)
    in_training = encoder.train()
    with encoders.source_statistics(in_training):
        inside = in_training(images)
        torch.testing.assert_close(in_training(images[:1]), expected[:1], rtol=1e-10, atol=1e-12)  # on no other image
    assert torch.equal(inside, expected)
    assert inside.requires_grad, "gradients go through it"
    assert all(torch.equal(before[key], value) for key, value in encoder.state_dict().items())
    assert not torch.allclose(in_training(images), expected), "a batch's own statistics are others"


def test_source_statistics_gives_every_module_its_mode_back() -> None:
    """Those of a model that is partly in evaluation mode, after an error, too; only norms change within."""
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(), nn.Sequential(nn.BatchNorm1d(3), nn.InstanceNorm1d(3)))
    model.train()
    model[0].eval()
    modes = [module.training for module in model.modules()]
    assert set(modes) == {True, False}
    with encoders.source_statistics(model):
        assert not any(norm.training for norm in (model[0], model[2][0], model[2][1]))
        assert model.training
        assert model[1].training
    assert [module.training for module in model.modules()] == modes
    with pytest.raises(ZeroDivisionError), encoders.source_statistics(model):
        _ = 1 / 0
    assert [module.training for module in model.modules()] == modes


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(InputError, match=r"encoder: 'resnet81' is not known .*allowed: mlp, resnet101, resnet18, "):
        encoders.build("resnet81", 3, 16)
    with pytest.raises(InputError, match="1 or 3 channels"):
        encoders.build("resnet18", 4, 16)


@pytest.mark.parametrize("name", [name for name in encoders.available() if name != "mlp"])
def test_features_are_the_mean_of_the_feature_map(name: str) -> None:
    encoder, images = encoders.build(name, 1, 32).double().eval(), torch.randn(2, 1, 32, 32, dtype=torch.float64)
    maps = encoder.feature_map(images)
    assert maps.shape[:2] == (2, encoder.feature_dim)
    torch.testing.assert_close(maps.mean(dim=(2, 3)), encoder(images), rtol=1e-10, atol=1e-10)


def test_an_encoder_without_maps_or_patches_says_so() -> None:
    encoder, images = encoders.build("mlp", 1, 8), torch.zeros(2, 1, 8, 8)
    with pytest.raises(InputError, match="encoder: Sequential has no map of positions; allowed: a convolutional net"):
        encoder.feature_map(images)
    with pytest.raises(InputError, match="encoder: Sequential does not cut images into patches; allowed: small_vit"):
        encoder.tokens(images)


def test_layers_are_the_stages_and_their_blocks() -> None:
    assert encoders.build("resnet18", 3, 32).layers() == (
        "conv1", "bn1", *(f"layer{n}{block}" for n in range(1, 5) for block in ("", ".0", ".1")),
    )  # fmt: skip


def test_a_recomputed_stem_gives_the_same_gradients_and_keeps_less() -> None:
    torch.manual_seed(0)
    encoder = encoders.build("resnet18", 3, 32).train()
    images = torch.randn(4, 3, 32, 32)
    statistics = [value.clone() for value in encoder.buffers()]
    gradients, kept = [], []
    for context in (contextlib.nullcontext(), encoders.recomputed_stem(encoder)):
        sizes: list[int] = []

        def pack(tensor: Tensor, sizes: list[int] = sizes) -> Tensor:
            sizes.append(tensor.numel())
            return tensor

        with encoders.untouched_statistics(encoder), context:
            with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
                loss = encoder(images).square().sum()
            gradients.append(torch.autograd.grad(loss, list(encoder.parameters())))
        kept.append(sum(sizes))
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    assert kept[1] < kept[0]
    assert all(torch.equal(a, b) for a, b in zip(statistics, encoder.buffers(), strict=True))
