"""A process that hangs ends with a trace; one that is patted or rests does not."""

from __future__ import annotations

import subprocess
import sys

import pytest

HANG = """
import time
from bdw.parallel.watchdog import Watchdog
def stuck():
    time.sleep(60)
with Watchdog(0.3) as dog:
    {before}
    stuck()
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False)


def test_a_hang_ends_the_process_and_says_where() -> None:
    done = run(HANG.format(before="pass"))
    assert done.returncode == 1
    assert "in stuck" in done.stderr


@pytest.mark.parametrize("calm", ["dog.rest(); time.sleep(0.6)", "[(time.sleep(0.1), dog.pat()) for _ in range(8)]"])
def test_who_rests_or_is_patted_lives(calm: str) -> None:
    done = run(HANG.format(before=f"{calm}; print('alive'); raise SystemExit(7)"))
    assert (done.returncode, done.stdout) == (7, "alive\n")
