"""`python -m bdw doctor`: what this machine has, what is wrong with it and what to do about it.

Every check is a function that returns findings and takes what it looks at as arguments, so that tests can show it a
sick machine. Limits are those of Ray 2.60 unless a comment says otherwise.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path

from packaging.requirements import Requirement

from bdw import plugins
from bdw.errors import InputError
from bdw.ray.environment import SHORTEN, START_OR_UNSET, answers, is_too_long, names_a_cluster, temporary_folder

GIB = 2**30
# Shown where bdw runs from a folder without being installed, so that nothing says what it depends on.
MAIN_DEPENDENCIES = ("numpy", "optuna", "pandas", "pyarrow", "ray", "scikit-learn", "torch", "torchvision")


class Level(StrEnum):
    """How bad a finding is: a FAILURE prevents a run, a WARNING makes it slow or fragile."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True)
class Finding:
    """One thing looked at: its value in words and, unless all is well, what is wrong and what to do."""

    name: str
    value: str
    level: Level = Level.OK
    advice: str = ""


def examine(run_dir: Path) -> list[Finding]:
    """All findings about this machine; `run_dir` is where a run would write (it need not exist)."""
    memory = memory_limit()
    return [
        *check_versions(),
        *check_processors(),
        *check_accelerators(),
        *check_driver(),
        check_bfloat16(),
        check_memory(memory),
        *check_ray(os.environ, Path.home(), temporary_folder(os.environ)),
        check_ray_import(),
        *check_plug_ins(),
        check_disk("disk at the run directory", run_dir),
        check_disk("disk at Ray's temporary directory", temporary_folder(os.environ)),
        check_shared_memory(memory),
        check_open_files(),
    ]


def examine_gpu() -> list[Finding]:
    """The findings about GPUs alone; one is a failure unless torch can compute on a GPU of this machine."""
    findings = [*check_accelerators(), *check_driver()]
    if prevents_a_run(findings):
        return findings
    from bdw.parallel import gpu

    trouble = gpu.trouble()
    worked = Finding("computation on a gpu", "works" if trouble is None else "fails")
    if trouble is not None:
        advice = f"{trouble}; update the driver, or install a torch that fits it"
        worked = replace(worked, level=Level.FAILURE, advice=advice)
    return [*findings, worked]


def render(findings: Sequence[Finding]) -> str:
    """The findings as aligned text, closed by what is wrong and what to do."""
    width = max(len(finding.name) for finding in findings)
    lines = [f"{finding.level.value:<7}  {finding.name:<{width}}  {finding.value}" for finding in findings]
    troubles = [finding for finding in findings if finding.level is not Level.OK]
    if not troubles:
        return "\n".join([*lines, "", "Nothing is wrong."])
    lines += ["", "What is wrong, and what to do:"]
    return "\n".join(lines + [f"  {trouble.level.value}: {trouble.name}: {trouble.advice}" for trouble in troubles])


def as_json(findings: Iterable[Finding]) -> str:
    """The findings as a JSON list of objects with name, value, level and advice."""
    return json.dumps([asdict(finding) for finding in findings], indent=2)


def prevents_a_run(findings: Iterable[Finding]) -> bool:
    """Whether one of them is a failure."""
    return any(finding.level is Level.FAILURE for finding in findings)


def check_versions(requirements: Sequence[str] | None = None) -> list[Finding]:
    """Python, the platform, and each of bdw's dependencies against the range it asks for."""
    findings = [Finding("python", f"{platform.python_version()} on {platform.platform()}")]
    if requirements is None:
        try:
            requirements = importlib.metadata.requires("beta-data-weighter") or []
        except importlib.metadata.PackageNotFoundError:
            advice = "run `make setup`; without it versions cannot be checked against what bdw needs"
            findings.append(Finding("bdw", "not installed", Level.WARNING, advice))
            requirements = MAIN_DEPENDENCIES
    for requirement in map(Requirement, requirements):
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            findings.append(Finding(requirement.name, "missing", Level.FAILURE, "run `make setup`"))
            continue
        if requirement.specifier.contains(version, prereleases=True):
            findings.append(Finding(requirement.name, version))
        else:
            advice = f"bdw needs {requirement.name}{requirement.specifier}; run `make setup`"
            findings.append(Finding(requirement.name, version, Level.FAILURE, advice))
    return findings


def check_processors(cgroup: Path = Path("/sys/fs/cgroup")) -> list[Finding]:
    """CPUs of the machine, those this process may use, and a container's quota where there is one."""
    total = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else total
    quota = cpu_quota(cgroup)
    value = f"{usable} usable of {total}" + (f", limited to {quota:g} by the container" if quota else "")
    if quota is not None and quota < usable:
        # torch and Ray both count the machine's CPUs, not the quota, and then start too many threads.
        advice = f"the container may use {quota:g} CPUs; export OMP_NUM_THREADS={max(1, int(quota))}"
        slowed = "OMP_NUM_THREADS" not in os.environ
        return [Finding("processors", value, Level.WARNING if slowed else Level.OK, advice if slowed else "")]
    return [Finding("processors", value)]


def cpu_quota(cgroup: Path) -> float | None:
    """CPUs that a container's cgroup (version 2 or 1) allows, or None."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    return None if quota in ("max", "-1") else int(quota) / int(period)


def memory_limit(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes of memory that this process may use: the machine's, or the container's limit if that is lower."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            limit = (cgroup / name).read_text().strip()
        except OSError:
            continue
        if limit != "max":
            return min(total, int(limit))
    return total


def check_memory(limit: int) -> Finding:
    """Memory; 4 GiB is what the embedded sweep needs with two trials at a time (measured: 3 GiB)."""
    if limit >= 4 * GIB:
        return Finding("memory", _gib(limit))
    return Finding("memory", _gib(limit), Level.WARNING, "a sweep needs about 4 GiB; run one trial at a time, or `fit`")


def check_accelerators() -> list[Finding]:
    """The GPUs that torch can use, and those that it should be able to use but cannot."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return [Finding("torch", "cannot be imported", Level.FAILURE, f"{error}; remove .venv and run `make setup`")]
    from bdw.encoders.precision import AMPERE
    from bdw.parallel import gpu as gpu_check

    findings = []
    if torch.cuda.is_available():
        built_for = torch.cuda.get_arch_list()
        for index in range(torch.cuda.device_count()):
            gpu = torch.cuda.get_device_properties(index)
            rounding = "bfloat16 and TF32" if gpu.major >= AMPERE else "neither bfloat16 nor TF32"
            value = f"{gpu.name}, {_gib(gpu.total_memory)}, CUDA {torch.version.cuda}, {rounding}"
            too_old = bool(built_for) and gpu.major < min(_compute_major(name) for name in built_for)
            advice = f"this torch is built for {', '.join(built_for)}; train with --device cpu" if too_old else ""
            findings.append(Finding(f"gpu {index}", value, Level.WARNING if too_old else Level.OK, advice))
        return findings
    if shutil.which("nvidia-smi") or Path("/dev/nvidia0").exists():
        advice = f"{gpu_check.drivers()}; update the driver, or install a torch that fits it"
        return [Finding("gpu", "present, not usable", Level.WARNING, advice)]
    if torch.backends.mps.is_available():
        return [Finding("gpu", "Apple MPS present; bdw trains on the CPU here")]
    return [Finding("gpu", "none; bdw trains on the CPU")]


def check_driver(version_file: Path | None = None) -> list[Finding]:
    """NVIDIA's driver against the oldest one that this torch runs with; nothing where there is no driver."""
    try:
        from bdw.parallel import gpu
    except (ImportError, OSError):  # Without torch, which another finding tells.
        return []
    version = gpu.driver_version(version_file)
    if version is None:
        return []
    if not gpu.is_too_old(version):
        return [Finding("nvidia driver", version)]
    advice = (
        f"{gpu.drivers(version)}; update the driver, or install a torch for an older CUDA; until then use --device cpu"
    )
    return [Finding("nvidia driver", version, Level.WARNING, advice)]


def check_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> Finding:
    """Whether the CPU has instructions for `--precision bfloat16`, according to Linux."""
    try:
        words = set(cpuinfo.read_text(encoding="utf-8").split())
    except OSError:
        return Finding("bfloat16 on the CPU", "unknown on this platform")
    has_instructions = bool(words & {"avx512_bf16", "amx_bf16", "bf16"})  # the last on ARM
    return Finding("bfloat16 on the CPU", "by instructions" if has_instructions else "emulated: slower than float32")


def _compute_major(architecture: str) -> int:
    """`sm_90a` -> 9, `sm_120` -> 12, `compute_75` -> 7."""
    digits = "".join(character for character in architecture.split("_")[-1] if character.isdigit())
    return int(digits[:-1])


def check_ray(environment: Mapping[str, str], home: Path, temp_dir: Path) -> list[Finding]:
    """Ray's authentication, the cluster that a script would join, and the length of its socket paths."""
    findings = [_authentication(environment, home), _cluster(environment, temp_dir)]
    if is_too_long(temp_dir):
        findings.append(Finding("ray temporary directory", str(temp_dir), Level.FAILURE, SHORTEN))
    return findings


def _authentication(environment: Mapping[str, str], home: Path) -> Finding:
    name, mode = "ray authentication", environment.get("RAY_AUTH_MODE", "")
    token_file = Path(environment.get("RAY_AUTH_TOKEN_PATH") or home / ".ray" / "auth_token")
    has_token = bool(environment.get("RAY_AUTH_TOKEN")) or token_file.is_file()
    if mode == "token" and not has_token:
        advice = "RAY_AUTH_MODE=token without a token: run `ray get-auth-token --generate`"
        return Finding(name, "token, but there is none", Level.FAILURE, advice)
    if mode:
        return Finding(name, mode)
    if token_file.is_file():
        # `ray start` then asks for the token, the job command does not send it.
        advice = (
            "`ray start` asks for the token but `ray job submit` does not send it (401): "
            "export RAY_AUTH_MODE=token for both (or disabled, on loopback only)"
        )
        return Finding(name, "unset, and a token file exists", Level.WARNING, advice)
    return Finding(name, "unset (off for `ray start`, on for a local ray.init())")


def _cluster(environment: Mapping[str, str], temp_dir: Path) -> Finding:
    name, address = "ray cluster", environment.get("RAY_ADDRESS", "")
    if address.startswith(("http://", "https://")):
        advice = "ray.init() cannot use an http address; export RAY_API_SERVER_ADDRESS for `ray job` instead"
        return Finding(name, f"RAY_ADDRESS={address}", Level.FAILURE, advice)
    if names_a_cluster(address):
        if answers(address):
            return Finding(name, f"{address} answers (RAY_ADDRESS)")
        return Finding(name, f"{address} does not answer (RAY_ADDRESS)", Level.FAILURE, START_OR_UNSET)
    marker = temp_dir / "ray_current_cluster"
    try:
        running = marker.read_text().strip()
    except OSError:
        return Finding(name, "none running; a sweep starts its own")
    if answers(running):
        return Finding(name, f"{running} is running")
    advice = f"a cluster ended without cleaning up: run `ray stop`, or remove {marker}"
    return Finding(name, f"{running} does not answer", Level.WARNING, advice)


def check_ray_import(command: Sequence[str] = (sys.executable, "-c", "import ray")) -> Finding:
    """Whether Ray can be imported, tried in a process of its own: the core never imports it."""
    try:
        attempt = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return Finding("ray import", "takes longer than 120 s", Level.WARNING, "is .venv on a slow network disk?")
    if attempt.returncode == 0:
        return Finding("ray import", "works")
    reason = (attempt.stderr.strip().splitlines() or ["no message"])[-1]
    return Finding("ray import", "fails", Level.FAILURE, f"{reason}; sweeps cannot run: run `make setup`")


def check_plug_ins() -> list[Finding]:
    """The parts that other packages add (docs/how-to/plug-ins.md), each tried; nothing where there are none."""
    findings = []
    for group in plugins.GROUPS:
        for name, found in plugins.entries(group).items():
            finding = Finding(f"{group} {name}", plugins.package(found[0]))
            try:
                plugins.load(group, name, "plug-in")
            except InputError as error:
                finding = replace(finding, level=Level.WARNING, advice=str(error))
            findings.append(finding)
    return findings


def check_disk(name: str, path: Path) -> Finding:
    """Free space where something will be written, and whether it may be."""
    existing = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
    usage = shutil.disk_usage(existing)
    value = f"{_gib(usage.free)} free of {_gib(usage.total)} at {existing}"
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return Finding(name, value, Level.FAILURE, f"{existing} is not a folder that you may write to")
    if usage.free < GIB:
        return Finding(name, value, Level.FAILURE, "less than 1 GiB is free; make room or write elsewhere")
    # Ray refuses to spill objects when a disk is more than 95 % full.
    if usage.free < 0.05 * usage.total or usage.free < 5 * GIB:
        return Finding(name, value, Level.WARNING, "nearly full (below 5 GiB or 5 %); make room or write elsewhere")
    return Finding(name, value)


def check_shared_memory(memory: int, folder: Path = Path("/dev/shm")) -> Finding:
    """The size of /dev/shm against Ray's object store, which wants 30 % of the memory there."""
    if not folder.is_dir():
        return Finding("shared memory", f"no {folder} on this platform; Ray uses {tempfile.gettempdir()}")
    free, wanted = shutil.disk_usage(folder).free, int(0.3 * memory)
    value = f"{_gib(free)} free at {folder}; Ray wants {_gib(wanted)} (30 % of memory)"
    if free >= 0.95 * wanted:
        return Finding("shared memory", value)
    advice = (
        f"Ray falls back to {tempfile.gettempdir()} and gets slow; start the container with "
        f"--shm-size={wanted / GIB:.1f}g, or mount a memory emptyDir at {folder} on Kubernetes"
    )
    return Finding("shared memory", value, Level.WARNING, advice)


def check_open_files(limits: tuple[int, int] | None = None) -> Finding:
    """The limit of open files (soft, hard); Ray raises the soft one to the hard one by itself, up to 65,536."""
    if limits is None:
        import resource

        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = (2**31 if limit < 0 else limit for limit in limits)
    value = f"{limits[0]:,} (at most {'unlimited' if limits[1] < 0 else format(limits[1], ',')})"
    reachable = max(soft, min(hard, 65_536))
    if reachable >= 4096:
        return Finding("open files", value)
    advice = "Ray loses connections below 4,096: `ulimit -n 65536`, or raise nofile in /etc/security/limits.conf"
    return Finding("open files", value, Level.WARNING if reachable >= 1024 else Level.FAILURE, advice)


def _gib(size: float) -> str:
    return f"{size / GIB:.1f} GiB"
