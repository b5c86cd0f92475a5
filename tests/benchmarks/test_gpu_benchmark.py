"""The table of GPU arithmetic: what is counted and compared, on the CPU with a tiny net; nothing about speed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from bdw.errors import InputError
from bdw.training.trainer import Trainer
from benchmarks import gpu
from benchmarks.gpu import Arguments

CPU = torch.device("cpu")
FEW = {"device": "cpu", "rounds": 1, "steps": 2, "warm_up": 10, "moments": 2}


def test_operations_are_those_of_the_layers(tmp_path: Path) -> None:
    """By hand: per image, 2 x (inputs of an output) x (outputs); three passes but for the gradient of the pixels."""
    config = gpu.config_of(Arguments(device="cpu"))
    trainer = Trainer(config.replace(run_dir=str(tmp_path / "run")), problem=gpu.problem_of(config, tmp_path))
    batch = gpu.random_batch(trainer, torch.Generator().manual_seed(0))
    subject = gpu.Subject(trainer, gpu.KINDS["float32"])
    first, second, third = 2 * 9 * 3 * 16 * 8**2, 2 * 9 * 16 * 32 * 4**2, 2 * 9 * 32 * 64 * 2**2
    encoder, head = first + second + third, 2 * 64 * 4
    views, target_images = 4 * 8, 10 * (2 + 2)
    plain = views * (3 * (encoder + head) - first)
    assert gpu.operations(subject, "plain", batch) == plain
    meta_pass = target_images * (3 * encoder - first)
    tangents = views * encoder
    found = gpu.operations(subject, "BDW", batch)
    assert plain + meta_pass + 1.5 * tangents < found < plain + meta_pass + 3.1 * tangents
    cheap = gpu.operations(subject, "cheap BDW", batch)
    assert plain + (meta_pass + 1.5 * tangents / 4) / 2 < cheap < plain + (meta_pass + 3.1 * tangents / 4) / 2


def test_the_table_compares_kinds_of_arithmetic(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gpu.main(Arguments(**FEW, kinds=("bfloat16", "tf32"), peak_tflops=(0.001, 0.002, 0.004), save=True))  # type: ignore[arg-type]
    written = json.loads((results / "gpu-cpu.json").read_text())
    assert "NVIDIA" in written["left_out"]["tf32"]
    rows = {(row["kind"], row["step"]): row for row in written["rows"]}
    assert set(rows) == {(kind, step) for kind in ("float32", "bfloat16") for step in gpu.STEPS}
    for (kind, step), row in rows.items():
        assert row["images_per_second"] == pytest.approx(8 / (row["milliseconds"] / 1000))
        per_second = written["operations"][step] / (row["milliseconds"] / 1000)
        assert row["share_of_peak"] == pytest.approx(per_second / {"float32": 1e9, "bfloat16": 4e9}[kind])
        assert row["peak_mb"] is None
    assert rows["float32", "BDW"]["lowest_cosine"] == pytest.approx(1, abs=1e-12)
    assert 0.9 < rows["bfloat16", "BDW"]["lowest_cosine"] < 1
    assert "bfloat16               cheap BDW" in capsys.readouterr().out


@pytest.mark.long
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU")
def test_compiled_kinds_run(results: Path) -> None:
    kinds = ("bfloat16 compiled", "bfloat16 CUDA graphs", "float32 all compiled")
    gpu.main(Arguments(**FEW, kinds=kinds, save=True))  # type: ignore[arg-type]
    torch.compiler.reset()
    written = json.loads((results / "gpu-cpu.json").read_text())
    assert written["left_out"] == {}
    lowest = {row["kind"]: row["lowest_cosine"] for row in written["rows"]}
    assert set(lowest) == {"float32", *kinds}
    assert min(lowest.values()) > 0.9
    assert lowest["float32 all compiled"] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "bfloat16"),
    [("NVIDIA H100 80GB HBM3", 989.4), ("NVIDIA H100 PCIe", 756.0), ("NVIDIA H200", 989.4),
     ("NVIDIA A100-SXM4-80GB", 312.0), ("NVIDIA T4", None)],
)  # fmt: skip
def test_a_chip_is_known_by_its_name(monkeypatch: pytest.MonkeyPatch, name: str, bfloat16: float | None) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    assert gpu.peak_tflops(Arguments(), torch.device("cuda", 0)).get("bfloat16") == bfloat16
    assert gpu.peak_tflops(Arguments(peak_tflops=(1.0, 2.0, 3.0)), CPU) == {"float32": 1, "tf32": 2, "bfloat16": 3}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so() -> None:
    with pytest.raises(InputError, match="device: torch sees no GPU here; allowed: --device cpu"):
        gpu.main(Arguments())


@pytest.mark.parametrize(("field", "value"), [("kinds", ("float8",)), ("steps", 0), ("moments", 0), ("warm_up", -1)])
def test_bad_arguments_are_refused(field: str, value: object) -> None:
    with pytest.raises(InputError, match=f"{field}: .* cannot work; allowed"):
        Arguments(**{field: value})  # type: ignore[arg-type]
