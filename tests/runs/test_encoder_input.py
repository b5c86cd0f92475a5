"""An exported encoder and its input: features as in the run's own evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.torch
import timm
import torch
import torchvision
from PIL import Image

import bdw
from bdw import encoders
from bdw.config import RunConfig
from bdw.data import Problem
from bdw.data.decode import decode
from bdw.errors import InputError
from bdw.evaluation.features import Settings, extract_features
from bdw.runs.encoder_input import InputTransform
from bdw.runs.export import facts_of, read_encoder, write_encoder
from bdw.training.trainer import Trainer


def exported(path: Path, channels: int = 3, **metadata: Any) -> Path:
    torch.manual_seed(0)
    encoder = encoders.build("small_cnn", channels, 12)
    sizes = {"channels": channels, "image_size": 16, "crop_size": 12, **metadata}
    write_encoder(path, "small_cnn", encoder.backbone.state_dict(), sizes)
    return path


def test_features_are_those_of_the_runs_own_evaluation(config: RunConfig, problem: Problem) -> None:
    trainer = Trainer(config.replace(crop_size=10), problem=problem)
    list(trainer.epochs())
    images = problem.target.test.images
    best = trainer.state.best.loaded(trainer.learner.model).encoder
    encoder, transform = bdw.load_encoder(Path(config.output.run_dir) / "encoder.safetensors")
    assert not encoder.training
    with torch.inference_mode():
        features = encoder(transform(torch.from_numpy(images))).numpy()
    np.testing.assert_array_equal(features, extract_features(best, images, Settings(crop_size=10)))


def test_the_metadata_names_the_range(tmp_path: Path) -> None:
    with safetensors.safe_open(exported(tmp_path / "encoder.safetensors"), framework="pt") as file:
        metadata = file.metadata()
    assert (metadata["input_low"], metadata["input_high"]) == ("-1", "1")
    inputs = InputTransform.of(metadata)(
        torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 16, 16)
    )
    assert inputs.shape == (2, 3, 12, 12)
    assert inputs.flatten(1).unique(dim=1).tolist() == [[-1.0], [1.0]]


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_size_are_cut_as_files_are(tmp_path: Path, channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 41, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    packed = torch.tensor(decode(tmp_path / "image.png", channels, 16))[None]
    _, transform = bdw.load_encoder(exported(tmp_path / "encoder.safetensors", channels))
    images = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    torch.testing.assert_close(transform(images), transform(packed), rtol=0, atol=0)
    assert transform(images[:0]).shape == (0, channels, 12, 12)


def test_a_file_of_an_earlier_version_has_the_rule_of_then(tmp_path: Path) -> None:
    new = exported(tmp_path / "new.safetensors")
    _, metadata = read_encoder(new)
    earlier = {name: value for name, value in metadata.items() if not name.startswith("input_")}
    old = tmp_path / "old.safetensors"
    safetensors.torch.save_file(safetensors.torch.load_file(new), old, earlier)
    assert bdw.load_encoder(str(old))[1] == bdw.load_encoder(new)[1]


@pytest.mark.parametrize(
    ("name", "mean", "deviation", "norm"),
    [
        ("resnet50", "0.5", "0.5", "batch"),
        ("resnet18", "0.5", "0.5", "group"),
        ("small_vit", "0.5", "0.5", "batch"),
        ("timm:test_vit", "0.5", "0.5", "batch"),
        ("timm:resnet18", "0.485,0.456,0.406", "0.229,0.224,0.225", "batch"),
        ("timm:efficientnet_b0", "0.485,0.456,0.406", "0.229,0.224,0.225", "sync"),
        ("timm:convnext_atto", "0.485,0.456,0.406", "0.229,0.224,0.225", "batch"),
        ("timm:swin_tiny_patch4_window7_224", "0.485,0.456,0.406", "0.229,0.224,0.225", "batch"),
    ],
)
def test_an_export_of_every_family_loads_strictly_and_says_what_it_wants(
    name: str, mean: str, deviation: str, norm: Any, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    made, file = encoders.build(name, 3, 32, norm).eval(), tmp_path / "encoder.safetensors"
    sizes = {"channels": 3, "image_size": 40, "crop_size": 32, "norm": norm}
    write_encoder(file, name, made.backbone.state_dict(), {**sizes, **facts_of(made)})
    encoder, transform = bdw.load_encoder(file)
    images = torch.randint(256, (2, 3, 40, 40), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(encoder(transform(images)), made(transform(images)))
    _, metadata = read_encoder(file)
    assert (metadata["mean"], metadata["deviation"]) == (mean, deviation)
    assert ("input_low" in metadata) == (mean == "0.5")
    assert metadata["feature_dim"] == str(made.feature_dim)
    layers = metadata["layers"].split(",")
    assert all(encoder.backbone.get_submodule(layer) for layer in layers)
    assert len(layers) >= 5
    if name == "small_vit" or norm == "group":
        return
    if name.startswith("timm:"):
        own = {"img_size": 32} if "vit" in name or "swin" in name else {}
        theirs: Any = timm.create_model(name.removeprefix("timm:"), num_classes=0, **own)
    else:
        theirs = getattr(torchvision.models, name)()
        theirs.fc = torch.nn.Identity()
    theirs.load_state_dict(safetensors.torch.load_file(file), strict=True)
    crops = images[:, :, 4:36, 4:36].float() / 255
    told = [[float(number) for number in metadata[key].split(",")] for key in ("mean", "deviation")]
    wanted = (crops - torch.tensor(told[0])[:, None, None]) / torch.tensor(told[1])[:, None, None]
    with torch.inference_mode():
        torch.testing.assert_close(theirs.eval()(wanted), made(transform(images)), rtol=1e-3, atol=1e-4)


def test_what_cannot_work_is_named(tmp_path: Path) -> None:
    _, transform = bdw.load_encoder(exported(tmp_path / "encoder.safetensors"))
    with pytest.raises(
        InputError, match=r"images: torch.float32 of shape \(2, 3, 8, 8\) cannot work; allowed: torch.u"
    ):
        transform(torch.zeros(2, 3, 8, 8))
    with pytest.raises(InputError, match=r"encoder file .* cannot be read"):
        bdw.load_encoder(tmp_path / "nothing.safetensors")
    with pytest.raises(InputError, match="is not known to this version"):
        bdw.load_encoder(exported(tmp_path / "other.safetensors", input_low=0))
