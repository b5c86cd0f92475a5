"""SIGTERM is Ctrl-C, and the process ends after the clean-up that Ctrl-C has."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from bdw.parallel.sigterm import sigterm_as_interrupt


def test_sigterm_interrupts_and_is_known_for_what_it_was() -> None:
    outside = signal.getsignal(signal.SIGTERM)
    with sigterm_as_interrupt() as was_sigterm:
        assert not was_sigterm()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        assert was_sigterm()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL  # A second one ends the process.
    assert signal.getsignal(signal.SIGTERM) is outside


def test_ctrl_c_is_not_taken_for_it() -> None:
    with sigterm_as_interrupt() as was_sigterm:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert not was_sigterm()


def test_who_ignores_sigterm_goes_on_ignoring_it() -> None:
    outside = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with sigterm_as_interrupt() as was_sigterm:
            os.kill(os.getpid(), signal.SIGTERM)
            assert not was_sigterm()
    finally:
        signal.signal(signal.SIGTERM, outside)


def test_other_threads_can_use_it() -> None:
    said: list[bool] = []

    def run() -> None:
        with sigterm_as_interrupt() as was_sigterm:
            said.append(was_sigterm())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert said == [False]


def test_a_script_says_so_in_one_line_and_cleans_up() -> None:
    program = (
        "import os, signal, sys\n"
        "from sweeps.runner import command_line\n"
        "def main():\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    finally:\n"
        "        print('cleaned up')\n"
        "sys.exit(command_line.run(main, prog='sweep'))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (143, "cleaned up\n")
    assert done.stderr == "sweep: stopped by SIGTERM; the same command continues where it was\n"
