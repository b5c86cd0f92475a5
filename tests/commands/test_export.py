"""`bdw export`: the graph computes what the encoder does, on any number of images."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

import bdw
from bdw import cli, encoders
from bdw.runs import onnx_export
from bdw.runs.export import facts_of, write_encoder


def _exported(folder: Path, name: str, channels: int, size: int) -> Path:
    torch.manual_seed(0)
    encoder = encoders.build(name, channels, size)
    facts = {"channels": channels, "image_size": size, "crop_size": size, "epoch": 1, **facts_of(encoder)}
    file = folder / "encoder.safetensors"
    write_encoder(file, name, encoder.backbone.state_dict(), facts)
    return file


@pytest.mark.parametrize(("name", "channels", "size"), [("small_cnn", 1, 12), ("timm:test_vit", 3, 32)])
def test_the_graph_has_the_encoders_features(
    name: str, channels: int, size: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = _exported(tmp_path, name, channels, size), tmp_path / "graph" / "encoder.onnx"
    assert cli.main(["export", "--encoder", str(file), "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{out}: uint8 images (B, {channels}, {size}, {size}) to features (B, ")
    assert printed.err == ""
    encoder, transform = bdw.load_encoder(file)
    session = onnxruntime.InferenceSession(out.read_bytes(), providers=["CPUExecutionProvider"])
    for count in (1, 5):
        images = torch.randint(256, (count, channels, size, size), dtype=torch.uint8)
        (found,) = session.run(None, {"images": images.numpy()})
        with torch.inference_mode():
            expected = encoder(transform(images)).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert [path.name for path in out.parent.iterdir()] == ["encoder.onnx"]


def test_a_graph_that_computes_something_else_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _exported(tmp_path, "small_cnn", 1, 12)
    monkeypatch.setattr(onnx_export, "_run", lambda path, images: np.zeros((len(images), 64), np.float32))
    with pytest.raises(RuntimeError, match=r"features differ from the encoder's by 1\.0e\+00 of the largest"):
        cli.main(["export", "--encoder", str(file)])
    assert [path.name for path in tmp_path.iterdir()] == ["encoder.safetensors"]


def test_what_cannot_be_exported_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["export"]) == 2
    assert capsys.readouterr().err == "error: run, encoder: give one of --run DIR and --encoder FILE\n"
    assert cli.main(["export", "--run", str(tmp_path)]) == 2
    assert "holds no encoder.safetensors" in capsys.readouterr().err
    file = _exported(tmp_path, "small_cnn", 1, 12)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert cli.main(["export", "--encoder", str(file)]) == 2
    said = "error: format: 'onnx' needs the package onnxruntime; allowed: pip install 'beta-data-weighter[onnx]'\n"
    assert capsys.readouterr().err == said
