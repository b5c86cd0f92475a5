"""One driver at a time, whatever keeps the claim: processes that race, die, fall silent or wake up again."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bdw.errors import InputError
from bdw.storage.remote_folder import RemoteFolder
from sweeps.study.driver_lock import Timing, held
from sweeps.study.driver_record import CopyRegister, DriverRecord, Register, StudyRegister
from sweeps.study.open_study import open_storage

KINDS = ("journal", "database", "copy")
QUICK = Timing(settle=0.05, beat=0.1, patience=0.6)
PATIENT = Timing(settle=3.0, beat=1.0, patience=60.0)
"""For processes that start at the same time on a busy machine."""


def register_at(folder: Path, kind: str) -> Register:
    if kind == "copy":
        return CopyRegister(RemoteFolder.at(str(folder / "copy")))
    url = f"sqlite:///{folder}/study.db" if kind == "database" else None
    return StudyRegister(open_storage(folder / "study.journal", url), "sweep", ["maximize"])


@pytest.fixture(params=KINDS)
def register(request: pytest.FixtureRequest, tmp_path: Path) -> Register:
    return register_at(tmp_path, request.param)


def elsewhere(**changes: Any) -> DriverRecord:
    """The claim of a driver on another machine."""
    return replace(DriverRecord.of_this_process(), machine="another", host="far-away", pid=1, **changes)


def quietly(line: str) -> None:
    raise AssertionError(f"nothing was to be said: {line}")


@contextmanager
def holding(register: Register, say: Callable[[str], None] = quietly) -> Iterator[DriverRecord]:
    with held(register, name="sweep", say=say, timing=QUICK) as claim:
        yield claim


def test_held_given_life_and_released(register: Register) -> None:
    assert register.read() is None
    with holding(register) as claim:
        first = register.read()
        assert first is not None
        assert first.owner == claim.owner
        wait_until(lambda: found(register).beats > first.beats + 1)
        assert found(register).seen > first.seen
    assert register.read() is None
    with holding(register):
        pass


def test_a_second_one_here_is_refused_at_once(register: Register) -> None:
    said = r"name: 'sweep' is being run by process \d+ on \S+ since \S+ \S+ \(\d+ s\), last sign of life \d+ s ago"
    with holding(register), pytest.raises(InputError, match=said), holding(register):
        pass


def test_whoever_is_alive_elsewhere_stays_whatever_his_clock_says(register: Register) -> None:
    living = elsewhere(seen=0.0, since=0.0)
    register.write(living)
    said = []

    def watch(line: str) -> None:
        said.append(line)
        register.write(replace(living, beats=living.beats + 1))

    with pytest.raises(InputError, match="is being run by process 1 on far-away since"), holding(register, watch):
        pass
    assert len(said) == 1
    assert found(register).owner == living.owner


def test_whoever_is_silent_elsewhere_is_watched_and_followed(register: Register) -> None:
    register.write(elsewhere(seen=time.time() + 1e6))  # His clock is no reason to wait for ever.
    said: list[str] = []
    with holding(register, said.append) as claim:
        assert found(register).owner == claim.owner
    (line,) = said
    assert line.startswith("sweep was left by process 1 on far-away since ")
    assert " (0 s), last sign of life 0 s ago; watching for" in line


def test_whoever_wakes_up_and_finds_another_stops(register: Register) -> None:
    with pytest.raises(InputError, match="'sweep' was taken over by process 1 on far-away"):
        lose(register, elsewhere())
    assert found(register).pid == 1, "the other's claim was taken away"


def test_whoever_wakes_up_when_the_other_is_done_stops_too(register: Register) -> None:
    with pytest.raises(InputError, match="was taken over by a driver that has ended since"):
        lose(register, None)


@pytest.mark.parametrize("disposition", [signal.SIG_IGN, signal.SIG_DFL, lambda *_: None])
def test_whatever_is_done_with_interrupts_elsewhere(tmp_path: Path, disposition: Any) -> None:
    """A shell has what it starts in the background ignore SIGINT; libraries leave handlers of their own."""
    before = signal.signal(signal.SIGINT, disposition)
    try:
        with pytest.raises(InputError, match="'sweep' was taken over by process 1 on far-away"):
            lose(register_at(tmp_path, "journal"), elsewhere())
        assert signal.getsignal(signal.SIGINT) == disposition
    finally:
        signal.signal(signal.SIGINT, before)


def lose(register: Register, to: DriverRecord | None) -> None:
    # Right after a sign of life there is time until the next one, which would overwrite the other's claim.
    slow = Timing(settle=0.05, beat=0.5, patience=6.0)
    with held(register, name="sweep", say=quietly, timing=slow) as claim:
        wait_until(lambda: found(register).beats > claim.beats)
        register.write(to)
        time.sleep(20)


def test_ctrl_c_is_ctrl_c(register: Register) -> None:
    with pytest.raises(KeyboardInterrupt), holding(register):
        raise KeyboardInterrupt
    assert register.read() is None


def test_a_storage_that_goes_away_is_the_main_threads_affair(tmp_path: Path) -> None:
    register = register_at(tmp_path, "journal")
    with holding(register):
        (tmp_path / "study.journal").rename(tmp_path / "away")
        (tmp_path / "study.journal").mkdir()
        with pytest.raises(InputError, match="study: its storage is locked or gone: Is a directory"):
            register.read()
        time.sleep(3 * QUICK.beat)
        (tmp_path / "study.journal").rmdir()
        (tmp_path / "away").rename(tmp_path / "study.journal")
        before = found(register).beats
        wait_until(lambda: found(register).beats > before)


def test_a_copy_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "copy").touch()
    with pytest.raises(InputError, match="storage_path: its storage is locked or gone"):
        register_at(tmp_path, "copy").write(None)


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_one_here_is_followed_at_once(tmp_path: Path, kind: str) -> None:
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([__name__])
    process = server.Process(target=claim_and_die, args=(tmp_path, kind))
    process.start()
    process.join()
    assert process.exitcode == 9
    register = register_at(tmp_path, kind)
    assert found(register).pid == process.pid
    with holding(register) as claim:
        assert found(register).owner == claim.owner


def claim_and_die(folder: Path, kind: str) -> None:
    with holding(register_at(folder, kind)):
        os._exit(9)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_of_those_who_start_together_one_drives(tmp_path: Path, kind: str) -> None:
    """Each takes the others for machines far away, of whose processes it knows nothing."""
    server = multiprocessing.get_context("forkserver")  # Imports once for all.
    server.set_forkserver_preload([__name__])
    start, outcomes, done = server.Barrier(3), server.Queue(), server.Event()
    processes = [
        server.Process(target=race, args=(tmp_path, kind, n, start, outcomes, done), daemon=True) for n in range(3)
    ]
    for process in processes:
        process.start()
    found = [outcomes.get(timeout=120) for _ in processes]
    done.set()
    found += [outcomes.get(timeout=60)]
    for process in processes:
        process.join()
    assert sorted(found) == ["drives", "drove to the end", "refused", "refused"]


def race(folder: Path, kind: str, number: int, start: Any, outcomes: Any, done: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sweeps.study.driver_record._machine", lambda: f"machine {number}")
        register = register_at(folder, kind)
        start.wait()
        try:
            with held(register, name="sweep", say=print, timing=PATIENT):
                outcomes.put("drives")
                done.wait()
                time.sleep(3 * PATIENT.beat)
            outcomes.put("drove to the end")
        except InputError as error:
            outcomes.put("refused" if "is being run by" in str(error) else str(error))


def found(register: Register) -> DriverRecord:
    claim = register.read()
    assert claim is not None
    return claim


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)
