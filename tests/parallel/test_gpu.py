"""A GPU that was asked for and does not work is told with its driver and the one that torch wants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bdw.errors import InputError
from bdw.parallel import device, gpu

PROPRIETARY = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC version:  gcc"
)
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (dvs-builder@U22-I3-AF03)\n"


def machine(
    monkeypatch: pytest.MonkeyPatch, folder: Path, *, driver: str | None, cuda: str | None = "13.2", sees: bool = False
) -> None:
    """Make torch and the driver look like this."""
    file = folder / "version"
    if driver is not None:
        file.write_text(PROPRIETARY.replace("550.54.15", driver))
    monkeypatch.setattr(gpu, "VERSION_FILE", file)
    monkeypatch.setattr(gpu.shutil, "which", lambda name: None)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch, "__version__", "2.15.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: sees)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize(("text", "version"), [(PROPRIETARY, "550.54.15"), (OPEN, "580.65.06"), ("nothing", None)])
def test_the_drivers_version(tmp_path: Path, text: str, version: str | None) -> None:
    (tmp_path / "version").write_text(text)
    assert gpu.driver_version(tmp_path / "version") == version


def test_nvidia_smi_is_asked_where_the_file_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\n[ "$1" = --query-gpu=driver_version ] && echo 535.104.05\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu.driver_version(tmp_path / "none") == "535.104.05"
    program.write_text(
        "#!/bin/sh\necho 'NVIDIA-SMI has failed because it could not communicate with the driver' >&2\nexit 9\n"
    )
    assert gpu.driver_version(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("cuda", "wanted"), [("13.2", 580), ("12.8", 525), ("11.8", 450), ("99.0", None), (None, None)]
)  # NVIDIA, "CUDA Compatibility", table 1.
def test_the_driver_that_torch_wants(monkeypatch: pytest.MonkeyPatch, cuda: str | None, wanted: int | None) -> None:
    monkeypatch.setattr(torch.version, "cuda", cuda)
    assert gpu.wanted_driver() == wanted
    assert gpu.is_too_old("449.99") == (wanted is not None)
    assert not gpu.is_too_old("999.1")
    if wanted is not None:
        assert not gpu.is_too_old(f"{wanted}.1")
        assert gpu.is_too_old(f"{wanted - 1}.99.99")


def test_the_installed_torch_is_one_whose_driver_is_known() -> None:
    assert torch.version.cuda is None or gpu.wanted_driver() is not None


@pytest.mark.parametrize(
    ("driver", "cuda", "told"),
    [
        ("550.54", "13.2", "driver 550.54 is installed, TORCH is built for CUDA 13.2 and wants driver 580 or newer"),
        (None, "12.8", "no NVIDIA driver was found, TORCH is built for CUDA 12.8 and wants driver 525 or newer"),
        ("580.65.06", None, "driver 580.65.06 is installed, and TORCH is built without CUDA"),
        ("999.1", "99.0", "driver 999.1 is installed, TORCH is built for CUDA 99.0"),
    ],
)  # fmt: skip
def test_a_reserved_gpu_that_torch_does_not_see(
    driver: str | None, cuda: str | None, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, tmp_path, driver=driver, cuda=cuda)
    monkeypatch.setattr(gpu.socket, "gethostname", lambda: "node7")
    with pytest.raises(InputError) as caught:
        gpu.require_reserved("gpus_per_worker", 0.5)
    told = told.replace("TORCH", "torch 2.15.0")
    assert str(caught.value) == (
        f"gpus_per_worker: 0.5 GPU reserved on node7, but it cannot be used: torch sees no GPU; {told}; allowed: 0, or "
        "a machine on which `python -m bdw doctor --gpu` finds nothing wrong"
    )
    gpu.require_reserved("gpus_per_worker", 0)


def test_a_hidden_gpu_is_told_by_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, tmp_path, driver="580.65.06")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert str(gpu.trouble()).startswith("torch sees no GPU (CUDA_VISIBLE_DEVICES is '-1'); driver 580.65.06")


def test_a_gpu_that_torch_sees_must_compute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, tmp_path, driver="580.65.06", sees=True)
    asked: list[Any] = []

    def fails(*size: int, device: str) -> torch.Tensor:
        asked.append(device)
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nmore lines")

    real = torch.ones
    monkeypatch.setattr(torch, "ones", fails)
    found = gpu.trouble()
    assert found is not None
    assert found.startswith(
        "a first computation failed (CUDA error: no kernel image is available for execution on the device); driver 580"
    )
    assert asked == ["cuda"]
    monkeypatch.setattr(torch, "ones", lambda *size, device: real(*size))
    assert gpu.trouble() is None
    gpu.require_reserved("gpus_per_worker", 1)


def test_a_device_that_was_asked_for_is_told_likewise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, tmp_path, driver="535.104.05")
    with pytest.raises(InputError) as caught:
        device.choose("cuda")
    assert str(caught.value) == (
        "device: 'cuda' was asked for, but torch sees no GPU; driver 535.104.05 is installed, torch 2.15.0 is built "
        "for CUDA 13.2 and wants driver 580 or newer; allowed: auto, cpu"
    )
    assert device.choose("auto") == device.choose("cpu") == torch.device("cpu")
