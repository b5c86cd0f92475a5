"""One driver at a time, wherever it runs: it writes a claim into the study and renews it while it lives.

A storage offers no compare-and-set, only a register that the last writer wins. So a claim is written only where nobody
else's is alive, and counts once it has stood for longer than anybody takes from reading to writing (Fischer's mutual
exclusion; Lamport, "A fast mutual exclusion algorithm", 1987). A driver that is slower than that overwrites the claim,
and the earlier driver learns at its next sign of life that it no longer drives: all drivers agree on who holds the
lock.

No two machines' clocks are compared: a silent driver is watched for as long as a living one never keeps silent.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from bdw.errors import InputError
from sweeps.study.driver_record import DriverRecord, Register

ATTEMPTS = 3


@dataclass(frozen=True)
class Timing:
    """Seconds; the same for all who may claim the same study."""

    settle: float = 1.0
    """Seconds that a claim must have stood: longer than it takes to read the register and write it."""
    beat: float = 10.0
    """Seconds between two signs of life."""
    patience: float = 45.0
    """Seconds of silence after which a driver on another machine is taken for dead."""


@contextmanager
def held(
    register: Register, *, name: str, say: Callable[[str], None], timing: Timing | None = None
) -> Iterator[DriverRecord]:
    """Drive the sweep of that name while the block runs.

    Raises `InputError` if another driver is alive, or took over because this one gave no sign of life for too long; the
    block is then broken off by a `KeyboardInterrupt` in the main thread.
    """
    timing = timing or Timing()
    claim = _claim(register, name, say, timing)
    heart = _Heart(register, claim, timing.beat)
    # A shell makes background processes ignore SIGINT, and Ray Train leaves a handler of its own behind; in both cases
    # the heart could not break the block off.
    interrupts = signal.signal(signal.SIGINT, signal.default_int_handler)
    heart.start()
    try:
        yield claim
    except KeyboardInterrupt:
        if heart.lost_to is None:
            raise
        raise InputError(
            f"name: {name!r} was taken over by {heart.lost_to}, since this driver gave no sign of life for a while; "
            "what its trials had done is in their checkpoints"
        ) from None
    finally:
        heart.stop()
        if interrupts is not None:  # None: not set from Python, and not changed by us.
            signal.signal(signal.SIGINT, interrupts)
        with suppress(InputError):  # Without its storage nobody can read the claim either; it is stale soon.
            found = register.read()
            if found is not None and found.owner == claim.owner:
                register.write(None)


def _claim(register: Register, name: str, say: Callable[[str], None], timing: Timing) -> DriverRecord:
    for _ in range(ATTEMPTS):
        there = register.read()
        if there is not None and not there.has_ended:
            _await_the_end(register, there, name, say, timing)
        mine = DriverRecord.of_this_process()
        register.write(mine)
        time.sleep(timing.settle)
        there = register.read()
        if there is not None:
            if there.owner == mine.owner:
                return mine
            raise _taken(name, there)
        # The former holder has taken its claim away, and with it ours.
    raise InputError(f"name: {name!r} cannot be claimed: other drivers come and go; try again")


def _await_the_end(
    register: Register, there: DriverRecord, name: str, say: Callable[[str], None], timing: Timing
) -> None:
    """Return once that driver has ended; `InputError` as soon as it is known to be alive."""
    if there.is_ours and time.time() - there.seen < timing.patience:
        raise _taken(name, there)
    say(f"{name} was left by {there}; watching for {timing.patience:.0f} s whether it is still alive")
    deadline = time.monotonic() + timing.patience
    while time.monotonic() < deadline:
        time.sleep(timing.beat / 4)
        found = register.read()
        if found is None or found.has_ended:
            return
        if found != there:
            raise _taken(name, found)


def _taken(name: str, by: DriverRecord) -> InputError:
    return InputError(f"name: {name!r} is being run by {by}; wait, or choose another name")


class _Heart:
    """Gives signs of life from a thread of its own; interrupts the main thread once another driver has taken over."""

    def __init__(self, register: Register, claim: DriverRecord, seconds: float) -> None:
        self.lost_to: str | None = None
        """Who took over, in words."""
        self._register = register
        self._claim = claim
        self._seconds = seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="lease")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; a sign of life that is on its way may still come."""
        self._ended.set()
        self._thread.join(self._seconds)

    def _beat(self) -> None:
        while not self._ended.wait(self._seconds):
            try:
                found = self._register.read()
                if found is not None and found.owner == self._claim.owner:
                    self._claim = self._claim.next_beat()
                    self._register.write(self._claim)
                    continue
            except InputError:
                continue  # The storage is away for now; the main thread will say so if it needs it.
            self.lost_to = str(found or "a driver that has ended since")
            main = threading.main_thread().ident
            if main is not None and not self._ended.is_set():
                signal.pthread_kill(main, signal.SIGINT)
            return
