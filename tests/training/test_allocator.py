"""Memory that was freed is used again: counted in page faults, which the system counts."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import types
from pathlib import Path

import pytest

from bdw.training import allocator

PROGRAM = """
import resource, sys
import torch
from bdw.training.allocator import keep_freed_memory

torch.set_num_threads(1)
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def step(each=int(sys.argv[2])):
    return [torch.ones(each * 2**18) for _ in range(80 // each)]  # 80 MiB
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
PAGES = 4 * 80 * 2**20 // 4096
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
LIBRARY, VERSION = platform.libc_ver()
HUGE_PAGES = "[always]" in (SETTING.read_text() if SETTING.exists() else "")
BOUNDED = tuple(map(int, VERSION.split(".")[:2])) < (2, 35) if LIBRARY == "glibc" else True


def _faults(what: str, mebibytes: int) -> int:
    command = [sys.executable, "-c", PROGRAM, what, str(mebibytes)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT).stdout)


@pytest.mark.skipif(LIBRARY != "glibc", reason="only glibc is told")
@pytest.mark.parametrize(
    "mebibytes",
    [16, pytest.param(40, marks=pytest.mark.skipif(BOUNDED, reason="before glibc 2.35 32 MiB is the most"))],
)
def test_a_step_takes_the_memory_that_the_last_one_freed(mebibytes: int) -> None:
    assert _faults("keep", mebibytes) < PAGES // 20


@pytest.mark.skipif(BOUNDED, reason="before glibc 2.35 32 MiB is the most")
@pytest.mark.skipif(HUGE_PAGES, reason="the system hands out huge pages, too few to count")
def test_left_alone_it_takes_new_pages() -> None:
    """Blocks of more than 32 MiB: whether smaller ones are given back hangs on what else lies in the heap."""
    assert _faults("leave", 40) > PAGES // 2


@pytest.mark.parametrize(("most", "threshold"), [(2**25, 2**25), (2**62, 2**30), (0, None)])
def test_what_the_library_refuses_keeps_nothing_else_from_being_set(
    most: int, threshold: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two versions of glibc, and a library that refuses; the numbers of the options are those of malloc.h."""
    options: dict[int, int] = {}

    def mallopt(option: int, value: int) -> int:
        if option == -3 and value > most:
            return 0
        options[option] = value
        return 1

    for name in set(os.environ) - set(ENVIRONMENT):
        monkeypatch.delenv(name)
    monkeypatch.setattr(allocator.platform, "libc_ver", lambda: ("glibc", "2.31"))
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _: types.SimpleNamespace(mallopt=mallopt))
    assert allocator.keep_freed_memory() is (threshold is not None)
    assert options.get(-3) == threshold
    assert options[-1] == 2**31 - 1


def test_an_environment_that_says_otherwise_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000")
    assert not allocator.keep_freed_memory()
