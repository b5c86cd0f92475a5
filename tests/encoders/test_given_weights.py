"""Continued pre-training: given weights are found, fit or are refused, and are a part of a run's identity."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
import torchvision
from torch import Tensor

from bdw import encoders
from bdw.config import EncoderConfig, RunConfig, identity
from bdw.data import Problem
from bdw.encoders import given_weights
from bdw.errors import InputError
from bdw.training.checks import check
from bdw.training.trainer import Trainer, iterate
from tests.training.comparison import assert_equal


def _started(weights: Path | str, name: str = "resnet18", size: int = 32, channels: int = 3) -> dict[str, Tensor]:
    encoder = encoders.build(name, channels, size)
    given_weights.start_from(EncoderConfig(encoder=name, weights=str(weights)), encoder)
    return encoder.backbone.state_dict()


def _torchvision(seed: int = 1) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return dict(torchvision.models.resnet18().state_dict())


@pytest.mark.parametrize(
    "saved",
    [
        lambda state: state,
        lambda state: {"state_dict": {f"module.{name}": value for name, value in state.items()}, "epoch": 3},
        lambda state: {"model": {f"module.encoder_q.{name}": value for name, value in state.items()}},
        lambda state: {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")},
    ],
    ids=["plain", "of a parallel model", "of a contrastive model", "of an old version"],
)
def test_weights_saved_by_torch_are_found_under_any_prefix(
    saved: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    theirs, file = _torchvision(), tmp_path / "weights.pth"
    torch.save(saved(theirs), file)
    with caplog.at_level(logging.WARNING):
        ours = _started(file)
    wanted = {name: value for name, value in theirs.items() if not name.startswith("fc.")}
    assert ours.keys() == wanted.keys()
    assert all(torch.equal(ours[name], value) for name, value in wanted.items())
    assert caplog.messages == [f"weights: {file}: 2 of the file not used (fc.weight, fc.bias)"]


def test_what_does_not_fit_stays_random_and_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    theirs, file = _torchvision(), tmp_path / "weights.safetensors"
    theirs["conv1.weight"] = torch.zeros(64, 1, 7, 7)
    del theirs["bn1.weight"], theirs["fc.weight"], theirs["fc.bias"]
    theirs["layer1.0.extra"] = torch.zeros(1)
    safetensors.torch.save_file(theirs, file)
    ours = _started(file)
    assert not torch.equal(ours["conv1.weight"], torch.zeros_like(ours["conv1.weight"]))
    assert torch.equal(ours["layer4.1.conv2.weight"], theirs["layer4.1.conv2.weight"])
    assert caplog.messages == [
        f"weights: {file}: 1 not in the file (bn1.weight); 1 of another shape (conv1.weight); 1 of the file not used "
        "(layer1.0.extra)"
    ]


@pytest.mark.parametrize(
    ("name", "other"),
    [("resnet18", "resnet34"), ("resnet34", "resnet18"), ("resnet18", "resnet50"), ("small_cnn", "small_resnet")],
)
def test_another_architecture_is_refused_in_one_line(name: str, other: str, tmp_path: Path) -> None:
    """Also where one is a part of the other."""
    file = tmp_path / "other.pt"
    torch.save(encoders.build(other, 3, 32).backbone.state_dict(), file)
    with pytest.raises(InputError, match=f"weights: .* is of another architecture than encoder '{name}': ") as error:
        check(RunConfig().replace(encoder=name, weights=str(file)))
    assert "\n" not in str(error.value)
    check(RunConfig().replace(encoder=other, weights=str(file), crop_size=8))


def test_files_that_hold_no_weights_are_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pt")
    (tmp_path / "text.pt").write_text("no weights")
    (tmp_path / "code.pt").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    (tmp_path / "cut.safetensors").write_bytes(safetensors.torch.save({"a": torch.ones(9)})[:-4])
    for file in sorted(tmp_path.iterdir()):
        with pytest.raises(InputError, match=rf"weights: .*{file.name} cannot be read \(.*\); allowed: safe") as error:
            _started(file)
        assert "\n" not in str(error.value)
    for absent in (tmp_path / "absent.pt", f"run:{tmp_path}"):
        with pytest.raises(InputError, match=r"weights: .* cannot be read \(No such file or directory\)"):
            identity.named(RunConfig().replace(weights=str(absent)))


def test_positions_of_a_vision_transformer_are_resampled(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = timm.create_model("test_vit", img_size=64, num_classes=0)
    file = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(theirs.state_dict(), file)
    ours = _started(file, "timm:test_vit", 32)
    expected = timm.layers.resample_abs_pos_embed(theirs.pos_embed, (2, 2), num_prefix_tokens=theirs.num_prefix_tokens)
    torch.testing.assert_close(ours["pos_embed"], expected)
    assert torch.equal(ours["blocks.1.mlp.fc1.weight"], theirs.blocks[1].mlp.fc1.weight)


def test_timms_weights_are_downloaded_by_timm(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What timm hands over is taken; a network that fails is one line. The shapes are known without it."""
    name, made, plain = "timm:resnet18.a1_in1k", [], timm.create_model
    config = RunConfig().replace(encoder="timm:resnet18", weights=name, image_size=32, crop_size=32)

    def create(wanted: str, pretrained: bool = False, **settings: Any) -> Any:
        if pretrained:
            made.append(plain(wanted, **settings))
            return made[-1]
        return plain(wanted, **settings)

    monkeypatch.setattr(timm, "create_model", create)
    check(config)
    assert made == []
    ours = _started(name, "timm:resnet18")
    assert torch.equal(ours["layer1.0.conv1.weight"], made[0].layer1[0].conv1.weight)
    assert identity.named(config).encoder.weights_content == name

    assert caplog.messages == []
    _started(name, "resnet18")
    assert caplog.messages == [
        "weights: timm:resnet18.a1_in1k expects pixels less 0.485/0.456/0.406 over 0.229/0.224/0.225, encoder resnet18 "
        "gives it 0.5 over 0.5; encoder timm:resnet18.a1_in1k would fit"
    ]

    def fails(wanted: str, pretrained: bool = False, **settings: Any) -> Any:
        raise ConnectionError("no network\nat all")

    monkeypatch.setattr(timm, "create_model", lambda n, **s: fails(n, **s) if s.get("pretrained") else plain(n, **s))
    with pytest.raises(InputError, match=r"could not be downloaded \(ConnectionError: no network\); allowed: a file"):
        _started(name, "timm:resnet18")
    with pytest.raises(InputError, match=r"weights: 'timm:resnet18.a9' is not known \(did you mean timm:resnet18\.a1_"):
        check(config.replace(weights="timm:resnet18.a9"))


def test_identity_is_what_weights_hold_not_where_they_lie(tmp_path: Path) -> None:
    one, same, other = (tmp_path / name for name in ("one.pt", "same.pt", "other.pt"))
    for file, seed in ((one, 1), (same, 1), (other, 2)):
        torch.save(_torchvision(seed), file)
    same.write_bytes(one.read_bytes())
    of = {file: identity.settings(RunConfig().replace(weights=str(file))) for file in (one, same, other)}
    assert of[one] == of[same] != of[other]
    assert identity.settings(RunConfig()).keys() & {"weights", "weights_content"} == set()
    content = of[one]["weights_content"]
    assert identity.settings(RunConfig().replace(weights=str(one), weights_content=content)) == of[one]
    with pytest.raises(InputError, match=f"weights: .*other.pt' cannot work; .* with the content {content}, not "):
        identity.named(RunConfig().replace(weights=str(other), weights_content=content))


def test_a_relative_path_is_that_of_whoever_wrote_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for weights, file in (("a/b.pt", "a/b.pt"), ("run:a", "a/encoder.safetensors"), ("~/b.pt", "b.pt")):
        monkeypatch.setenv("HOME", str(tmp_path))
        config = RunConfig().replace(weights=weights)
        monkeypatch.chdir("/")
        assert RunConfig().replace(**config.flat()).encoder.file == tmp_path / file
        monkeypatch.chdir(tmp_path)
    assert RunConfig().replace(weights="timm:resnet18").encoder.file is None


def test_a_run_continues_the_encoder_of_another(config: RunConfig, problem: Problem, tmp_path: Path) -> None:
    first = config.replace(run_dir=str(tmp_path / "first"))
    list(iterate(first, problem=problem))
    exported = safetensors.torch.load_file(tmp_path / "first" / "encoder.safetensors")
    second = config.replace(run_dir=str(tmp_path / "second"), weights=f"run:{tmp_path / 'first'}", epochs=2)
    trainer = Trainer(second, problem=problem)
    assert_equal(trainer.learner.model.encoder.backbone.state_dict(), exported)
    whole = list(trainer.epochs())
    resumed = second.replace(run_dir=str(tmp_path / "third"))
    list(iterate(resumed.replace(epochs=1), problem=problem))
    again = list(iterate(resumed.replace(resume=True), problem=problem))
    assert again[-1].loss == whole[-1].loss, "weights are given once, not again where a run is resumed"
    random = resumed.replace(resume=True, weights=None, weights_content=None)
    with pytest.raises(InputError, match=r"weights_content was '[0-9a-f]{16}' and is None"):
        Trainer(random, problem=problem)
