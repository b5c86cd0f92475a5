from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from bdw import cli
from bdw.commands import doctor
from bdw.commands.doctor import GIB, Finding, Level
from bdw.ray.environment import temporary_folder


def levels(findings: list[Finding]) -> dict[str, Level]:
    return {finding.name: finding.level for finding in findings}


def test_this_machine_can_be_examined(tmp_path: Path) -> None:
    findings = doctor.examine(tmp_path / "not" / "there" / "yet")
    names = [finding.name for finding in findings]
    assert len(names) == len(set(names))
    assert {"python", "processors", "memory", "ray import", "shared memory", "open files"} <= set(names)
    assert all(finding.advice for finding in findings if finding.level is not Level.OK)


def test_render_ends_with_what_to_do() -> None:
    fine = Finding("memory", "8.0 GiB")
    sick = Finding("open files", "256", Level.FAILURE, "ulimit -n 65536")
    assert doctor.render([fine]).splitlines() == ["ok       memory  8.0 GiB", "", "Nothing is wrong."]
    assert doctor.render([fine, sick]).splitlines()[-1] == "  failure: open files: ulimit -n 65536"
    assert json.loads(doctor.as_json([sick])) == [
        {"name": "open files", "value": "256", "level": "failure", "advice": "ulimit -n 65536"}
    ]


def test_only_a_failure_prevents_a_run() -> None:
    assert not doctor.prevents_a_run([Finding("a", "", Level.WARNING, "b"), Finding("c", "")])
    assert doctor.prevents_a_run([Finding("a", "", Level.FAILURE, "b")])


def test_versions_are_held_against_their_ranges() -> None:
    findings = doctor.check_versions(
        ["pytest>=1", "rich<1", "surely-not-installed>=2", "also-not-installed>=2; python_version < '3'"]
    )
    assert levels(findings[1:]) == {
        "pytest": Level.OK,
        "rich": Level.FAILURE,
        "surely-not-installed": Level.FAILURE,
    }
    assert "rich<1" in findings[2].advice


@pytest.mark.parametrize(("quota", "cpus"), [("150000 100000", 1.5), ("max 100000", None)])
def test_cpu_quota_of_cgroup_2(tmp_path: Path, quota: str, cpus: float | None) -> None:
    (tmp_path / "cpu.max").write_text(quota + "\n")
    assert doctor.cpu_quota(tmp_path) == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("50000", 0.5), ("-1", None)])
def test_cpu_quota_of_cgroup_1(tmp_path: Path, quota: str, cpus: float | None) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert doctor.cpu_quota(tmp_path) == cpus


def test_a_quota_below_the_machines_cpus_asks_for_fewer_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    (finding,) = doctor.check_processors(tmp_path)
    assert finding.level is Level.WARNING
    assert "OMP_NUM_THREADS=1" in finding.advice
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert levels(doctor.check_processors(tmp_path)) == {"processors": Level.OK}


def test_memory_is_the_containers_if_that_is_less(tmp_path: Path) -> None:
    machine = doctor.memory_limit(tmp_path)
    (tmp_path / "memory.max").write_text("max")
    assert doctor.memory_limit(tmp_path) == machine
    (tmp_path / "memory.max").write_text(str(2 * GIB))
    assert doctor.memory_limit(tmp_path) == min(machine, 2 * GIB)
    assert doctor.check_memory(2 * GIB).level is Level.WARNING
    assert doctor.check_memory(8 * GIB).level is Level.OK


@pytest.mark.parametrize(("architecture", "major"), [("sm_75", 7), ("sm_90a", 9), ("sm_120", 12), ("compute_80", 8)])
def test_compute_capability_of_an_architecture(architecture: str, major: int) -> None:
    assert doctor._compute_major(architecture) == major


@pytest.mark.parametrize(
    ("flags", "value"),
    [("flags : sse avx512_bf16", "by instructions"), ("Features : asimd bf16", "by instructions"),
     ("flags : sse avx2", "emulated: slower than float32"), (None, "unknown on this platform")],
)  # fmt: skip
def test_bfloat16_on_the_cpu(tmp_path: Path, flags: str | None, value: str) -> None:
    if flags is not None:
        (tmp_path / "cpuinfo").write_text(flags + "\n")
    assert doctor.check_bfloat16(tmp_path / "cpuinfo").value == value


@pytest.mark.parametrize(("major", "rounding"), [(7, "neither bfloat16 nor TF32"), (9, "bfloat16 and TF32")])
def test_a_gpu_says_in_what_it_can_round(monkeypatch: pytest.MonkeyPatch, major: int, rounding: str) -> None:
    gpu = SimpleNamespace(name="GPU", total_memory=80 * GIB, major=major)
    for name, value in (("is_available", True), ("get_arch_list", []), ("device_count", 1)):
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: gpu)
    (finding,) = doctor.check_accelerators()
    assert finding.value.endswith(f", {rounding}")


@pytest.mark.parametrize(
    ("version", "cuda", "level"),
    [("580.65.06", "13.2", Level.OK), ("570.1", "13.2", Level.WARNING), ("570.1", "12.8", Level.OK)],
)
def test_the_driver_is_held_against_what_torch_wants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, cuda: str, level: Level
) -> None:
    monkeypatch.setattr(torch.version, "cuda", cuda)
    (tmp_path / "version").write_text(f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {version}  Tue\n")
    (finding,) = doctor.check_driver(tmp_path / "version")
    assert (finding.name, finding.value, finding.level) == ("nvidia driver", version, level)
    if level is not Level.OK:
        assert finding.advice.startswith(f"driver {version} is installed, torch ")
        assert "is built for CUDA 13.2 and wants driver 580 or newer; update the driver" in finding.advice


@pytest.mark.parametrize("trouble", [None, "torch sees no GPU; no NVIDIA driver was found"])
def test_a_machines_set_up_can_insist_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], trouble: str | None
) -> None:
    monkeypatch.setattr("bdw.parallel.gpu.trouble", lambda: trouble)
    monkeypatch.setattr(doctor, "check_accelerators", lambda: [Finding("gpu 0", "L4")])
    monkeypatch.setattr(doctor, "check_driver", lambda: [Finding("nvidia driver", "580.65.06")])
    assert cli.main(["doctor", "--gpu", "--json"]) == (0 if trouble is None else 1)
    found = {finding["name"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert found.keys() == {"gpu 0", "nvidia driver", "computation on a gpu"}
    assert found["computation on a gpu"]["level"] == ("ok" if trouble is None else "failure")
    assert (trouble or "") in found["computation on a gpu"]["advice"]


def test_a_token_file_without_a_mode_is_told(tmp_path: Path) -> None:
    name = "ray authentication"
    assert levels(doctor.check_ray({}, tmp_path, tmp_path))[name] is Level.OK
    assert levels(doctor.check_ray({"RAY_AUTH_MODE": "token"}, tmp_path, tmp_path))[name] is Level.FAILURE
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("secret")
    assert levels(doctor.check_ray({}, tmp_path, tmp_path))[name] is Level.WARNING
    assert levels(doctor.check_ray({"RAY_AUTH_MODE": "token"}, tmp_path, tmp_path))[name] is Level.OK
    assert "secret" not in doctor.render(doctor.check_ray({}, tmp_path, tmp_path))


def test_the_cluster_that_a_script_would_join(tmp_path: Path) -> None:
    short = Path("/tmp/ray-of-nobody")
    name = "ray cluster"
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert levels(doctor.check_ray({"RAY_ADDRESS": address}, tmp_path, short))[name] is Level.OK
        (tmp_path / "ray_current_cluster").write_text(address)
        (running,) = [f for f in doctor.check_ray({}, tmp_path, tmp_path) if f.name == name]
        assert (running.level, running.value) == (Level.OK, f"{address} is running")
    assert levels(doctor.check_ray({"RAY_ADDRESS": address}, tmp_path, short))[name] is Level.FAILURE
    assert levels(doctor.check_ray({}, tmp_path, tmp_path))[name] is Level.WARNING
    web = "http://127.0.0.1:8265"
    (http,) = [f for f in doctor.check_ray({"RAY_ADDRESS": web}, tmp_path, short) if f.name == name]
    assert http.level is Level.FAILURE
    assert "RAY_API_SERVER_ADDRESS" in http.advice


def test_a_long_temporary_directory_is_told(tmp_path: Path) -> None:
    long = temporary_folder({"RAY_TMPDIR": "/tmp/" + 60 * "x"})
    assert levels(doctor.check_ray({}, tmp_path, long))["ray temporary directory"] is Level.FAILURE
    assert "ray temporary directory" not in levels(doctor.check_ray({}, tmp_path, temporary_folder({})))


def test_ray_import_is_tried_in_its_own_process() -> None:
    assert doctor.check_ray_import((sys.executable, "-c", "pass")).level is Level.OK
    broken = doctor.check_ray_import((sys.executable, "-c", "raise ImportError('no such library')"))
    assert broken.level is Level.FAILURE
    assert "no such library" in broken.advice


def test_disk(tmp_path: Path) -> None:
    assert str(tmp_path) in doctor.check_disk("disk", tmp_path / "run" / "deeper").value
    (tmp_path / "file").touch()
    assert doctor.check_disk("disk", tmp_path / "file").level is Level.FAILURE


@pytest.mark.parametrize(
    ("free", "total", "level"),
    [(0.5, 100, Level.FAILURE), (3, 20, Level.WARNING), (30, 1000, Level.WARNING), (60, 100, Level.OK)],
)
def test_full_disks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: float, total: float, level: Level) -> None:
    usage = doctor.shutil.disk_usage(tmp_path)._replace(free=int(free * GIB), total=int(total * GIB))
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    assert doctor.check_disk("disk", tmp_path).level is level


def test_small_shared_memory_is_told_with_the_size_that_ray_wants(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = doctor.shutil.disk_usage(tmp_path)._replace(free=GIB // 16)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    finding = doctor.check_shared_memory(10 * GIB, tmp_path)
    assert finding.level is Level.WARNING
    assert "--shm-size=3.0g" in finding.advice
    assert doctor.check_shared_memory(GIB // 8, tmp_path).level is Level.OK
    assert doctor.check_shared_memory(GIB, tmp_path / "absent").level is Level.OK


@pytest.mark.parametrize(
    ("limits", "level"),
    [
        ((1024, 65_536), Level.OK),
        ((-1, -1), Level.OK),
        ((1024, 1024), Level.WARNING),
        ((256, 256), Level.FAILURE),
    ],
)
def test_open_files(limits: tuple[int, int], level: Level) -> None:
    assert doctor.check_open_files(limits).level is level
