"""timm's models as encoders: their own normalisation and sizes, tokens of some patches, what is refused."""

from __future__ import annotations

import sys

import pytest
import timm
import torch

from bdw import encoders
from bdw.data.augment import to_float
from bdw.encoders import PatchEncoder
from bdw.errors import InputError

FAMILIES = [
    "resnet18", "convnext_atto", "efficientnet_b0", "swin_tiny_patch4_window7_224", "test_vit", "vit_tiny_patch16_224",
]  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_an_encoder_is_timms_model_on_images_normalised_as_it_wants(name: str) -> None:
    size = 64
    encoder = encoders.build(f"timm:{name}", 3, size).double().eval()
    own = {"img_size": size} if "patch" in name or "vit" in name else {}
    theirs = timm.create_model(name, num_classes=0, **own).double().eval()
    theirs.load_state_dict(encoder.backbone.state_dict(), strict=True)
    images = torch.randint(256, (2, 3, size, size), dtype=torch.uint8)
    data = timm.data.resolve_model_data_config(theirs)
    mean, deviation = (torch.tensor(data[key], dtype=torch.float64)[:, None, None] for key in ("mean", "std"))
    expected = theirs((images.double() / 255 - mean) / deviation)
    found = encoder(to_float(images).double())
    assert found.shape == (2, encoder.feature_dim)
    # The constants are float32, as timm's are.
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_maps_have_their_channels_first() -> None:
    for name in ("resnet18", "swin_tiny_patch4_window7_224", "test_vit"):
        encoder = encoders.build(f"timm:{name}", 3, 64).eval()
        maps = encoder.feature_map(torch.zeros(2, 3, 64, 64))
        assert maps.shape[:2] == (2, encoder.feature_dim), name
        assert maps.shape[2] == maps.shape[3], name


def _vit(name: str) -> PatchEncoder:
    torch.manual_seed(0)
    encoder = encoders.build(name, 3, 32).double().eval()
    assert isinstance(encoder, PatchEncoder)
    return encoder


@pytest.mark.parametrize("name", ["small_vit", "timm:test_vit"])
def test_all_tokens_are_timms_own(name: str) -> None:
    encoder, images = _vit(name), torch.randn(2, 3, 32, 32, dtype=torch.float64)
    tokens = encoder.tokens(images)
    assert tokens.shape == (2, encoder.prefix_tokens + encoder.grid[0] * encoder.grid[1], encoder.feature_dim)
    expected = encoder.backbone.forward_features(images)  # type: ignore[operator]
    torch.testing.assert_close(tokens, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["small_vit", "timm:test_vit"])
def test_the_blocks_see_no_patch_that_is_not_kept(name: str) -> None:
    """What is left out may be anything; what is kept comes in the order asked for, with its own position."""
    encoder, images = _vit(name), torch.randn(2, 3, 32, 32, dtype=torch.float64)
    total, side = encoder.grid[0] * encoder.grid[1], 32 // encoder.grid[0]
    keep = torch.tensor([[total - 1, 0], [1, 2]])
    tokens = encoder.tokens(images, keep)
    assert tokens.shape == (2, encoder.prefix_tokens + 2, encoder.feature_dim)
    changed = torch.randn_like(images)
    for image, numbers in enumerate(keep.tolist()):
        for number in numbers:
            row, column = (side * at for at in divmod(number, encoder.grid[1]))
            place = (image, slice(None), slice(row, row + side), slice(column, column + side))
            changed[place] = images[place]
    torch.testing.assert_close(encoder.tokens(changed, keep), tokens, rtol=1e-10, atol=1e-12)
    turned = encoder.tokens(images, keep.flip(1))
    prefix = encoder.prefix_tokens
    torch.testing.assert_close(turned[:, prefix:].flip(1), tokens[:, prefix:], rtol=1e-10, atol=1e-12)
    assert not torch.allclose(encoder.tokens(images, (keep + 1) % total), tokens), "other patches"


def test_nothing_is_drawn_within_a_net() -> None:
    """timm's Swin drops paths by default: the tangent pass would be of another function than the training pass."""
    name, images = "swin_tiny_patch4_window7_224", torch.randn(4, 3, 64, 64)
    theirs = timm.create_model(name, num_classes=0, img_size=64).train()
    assert not torch.equal(theirs(images), theirs(images))
    ours = encoders.build(f"timm:{name}", 3, 64).train()
    assert torch.equal(ours(images), ours(images))


def test_grey_images_are_repeated() -> None:
    encoder, grey = encoders.build("timm:resnet18", 1, 32).eval(), torch.randn(2, 1, 32, 32)
    assert torch.equal(encoder(grey), encoder(grey.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [
        ("timm:vit_smal_patch16_224", 32, r"' is not known \(did you mean timm:vit_small_patch16_224,"),
        ("timm:resnet18.nope", 32, r"' is not known \(did you mean timm:resnet18\.a1_in1k,"),
        ("timm:vit_tiny_patch16_224", 40, "crop_size: 40 cannot work with .* into patches of 16.*multiples of 16"),
        ("small_vit", 30, "crop_size: 30 cannot work with encoder 'small_vit'.*allowed: multiples of 8"),
    ],
)
def test_what_timm_does_not_have_is_refused_in_one_line(name: str, size: int, said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        encoders.build(name, 3, size)
    assert "\n" not in str(error.value)


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    for name in ("small_vit", "timm:resnet18"):
        with pytest.raises(
            InputError, match=r"need the package timm; allowed: pip install 'beta-data-weighter\[timm\]'"
        ):
            encoders.build(name, 3, 32)
    encoders.build("resnet18", 3, 32)
