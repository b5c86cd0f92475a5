"""Features of named layers against a network cut off behind that layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from bdw import encoders
from bdw.data.augment import centre_crop
from bdw.errors import InputError
from bdw.evaluation.features import Settings, check_layer, extract_features


def test_a_named_layer_is_the_network_cut_off_behind_it() -> None:
    torch.manual_seed(0)
    encoder = encoders.build("resnet18", 3, 40).eval()
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 40, 40), dtype=np.uint8)
    net = encoder.backbone
    names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2")
    cut_off = nn.Sequential(*(net.get_submodule(name) for name in names))
    with torch.inference_mode():
        expected = cut_off(centre_crop(torch.from_numpy(images), 32)).mean(dim=(2, 3)).numpy()
    features = extract_features(encoder, images, Settings(crop_size=32, batch_size=2, layer="layer2"))
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-6)


def test_modules_that_work_in_place_behind_a_layer_do_not_change_its_features() -> None:
    torch.manual_seed(0)
    encoder = encoders.build("mlp", 1, 8)
    images = np.random.default_rng(0).integers(0, 256, (6, 1, 8, 8), dtype=np.uint8)
    before_relu = extract_features(encoder, images, Settings(crop_size=8, layer="1"))
    assert (before_relu < 0).any()
    after = extract_features(encoder, images, Settings(crop_size=8))
    np.testing.assert_array_equal(np.maximum(before_relu, 0), after)


def test_an_unknown_layer_is_refused_with_the_names_that_there_are() -> None:
    encoder = encoders.build("resnet18", 3, 32)
    check_layer(encoder, None)
    check_layer(encoder, "layer2.0.conv1")
    with pytest.raises(InputError, match=r"layer: 'layer5' is not known .*layer2"):
        check_layer(encoder, "layer5")


def test_tokens_of_a_layer_are_averaged_over_positions() -> None:
    torch.manual_seed(0)
    encoder = encoders.build("small_vit", 3, 16).eval()
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 16, 16), dtype=np.uint8)
    features = extract_features(encoder, images, Settings(crop_size=16, layer="norm"))
    np.testing.assert_allclose(
        features, extract_features(encoder, images, Settings(crop_size=16)), rtol=1e-4, atol=1e-5
    )
    assert extract_features(encoder, images, Settings(crop_size=16, layer="blocks.2")).shape == (3, 192)
