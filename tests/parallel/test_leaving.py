"""A process ends with its status whatever its threads still wait for."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

SCRIPT = """
import threading, time
from bdw.parallel.leaving import MAY_STAY_BEHIND, leave
threading.Thread(target=time.sleep, args=(60,), name={name}, daemon={daemon}).start()
print("said", end="")
leave(143)
"""


@pytest.mark.parametrize(("name", "daemon"), [("MAY_STAY_BEHIND", False), ("'another'", True)])
def test_what_was_said_is_there_and_so_is_the_status(name: str, daemon: bool) -> None:
    """A thread that is not a daemon would be waited for, were the interpreter's own end gone through."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(name=name, daemon=daemon)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (143, "said", "")
    assert time.monotonic() - began < 50
