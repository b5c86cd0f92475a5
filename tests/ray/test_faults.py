"""What may happen to a run on workers, on a real cluster: nothing that was done is lost, and the console says why."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bdw.runs import checkpoint
from bdw.runs.backup_files import checkpoints
from bdw.runs.checkpoint import Position
from bdw.storage.remote_folder import RemoteFolder
from benchmarks.chaos import FLAGS, NOBODY, VICTIMS, Arena, Driver, Victim, digest, train_disturbed

pytestmark = pytest.mark.timeout(900)
LONG_EPOCH = ("--epochs", "1", "--max-source", "2000", "--batch-size", "4", "--checkpoint-minutes", "30")
"""Flags of a run that saves in its only epoch, some ten seconds long, for special reasons alone."""
Drive = Callable[..., Driver]


@pytest.fixture
def drive(arena: Arena, tmp_path: Path) -> Iterator[Drive]:
    """Starts the small fit with more flags; what still runs at the end of the test, which then failed, is killed."""
    drivers: list[Driver] = []

    def start(*flags: str) -> Driver:
        drivers.append(Driver(arena, tmp_path / "run", [*FLAGS, *flags]))
        return drivers[-1]

    yield start
    for driver in drivers:
        driver.kill()


def wait_until(condition: Callable[[], bool], seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.05)


def positions(driver: Driver) -> list[Position]:
    return checkpoint.positions(driver.run_dir / "checkpoints")


def is_training(driver: Driver) -> bool:
    assert driver.is_alive(), driver.said()
    return "\nsource " in driver.said()  # The first line names the source, too, before anything is read.


@pytest.mark.long
@pytest.mark.parametrize("victim", VICTIMS)
def test_a_run_ends_where_an_undisturbed_one_does(
    arena: Arena, undisturbed: str, victim: Victim, tmp_path: Path
) -> None:
    result, said = train_disturbed(
        arena, tmp_path / "run", undisturbed, victim, delay=1.0, chance=random.Random(1), flags=FLAGS
    )
    assert result.ended, said
    assert result.same, said
    assert result.killed != NOBODY, said
    assert re.search(r"continued after epoch \d", said), said
    if victim != "driver":
        # Whose failure is seen first, that of the killed one or of its fellow, is a matter of milliseconds.
        assert re.search(r"worker \d (died, or its machine did|failed: )", said)
        assert "go on from the newest checkpoint" in said
    assert not list((tmp_path / "run" / "checkpoints").glob(".*")), "half-written checkpoints stay"


@pytest.mark.long
@pytest.mark.parametrize("number", [pytest.param(1, id="one, in a step or between"), pytest.param(2, id="both")])
def test_workers_that_hang_are_replaced(arena: Arena, drive: Drive, undisturbed: str, number: int) -> None:
    """A stopped process answers nobody, not even its own watchdog; the other's, which sees steps alone, or Ray does."""
    driver = drive("--step-timeout", "5")
    wait_until(lambda: driver.has_trained() and len(arena.workers()) == 2)
    for worker in arena.workers()[:number]:
        worker.send_signal(signal.SIGSTOP)
    assert driver.wait() == 0, driver.said()
    assert digest(driver.run_dir) == undisturbed
    assert re.search(r"worker \d (died, or its machine did|failed: )", driver.said())
    assert re.search(r"continued after epoch \d", driver.said())


@pytest.mark.long
def test_an_announced_pre_emption_is_used_to_save(arena: Arena, drive: Drive) -> None:
    driver = drive(*LONG_EPOCH)
    wait_until(lambda: is_training(driver))
    doomed = arena.drain_node(random.Random(0), seconds=8)
    wait_until(lambda: bool(positions(driver)))
    assert positions(driver)[0].epochs == 0
    assert positions(driver)[0].steps > 0
    assert driver.wait() == 0, driver.said()
    assert f"node(s) {doomed[:8]} will be taken away" in driver.said()
    arena.refill()


@pytest.mark.long
def test_the_console_can_ask_the_workers_to_save_and_stop(drive: Drive) -> None:
    driver = drive(*LONG_EPOCH)
    wait_until(lambda: is_training(driver))
    driver.ask_to_end()
    assert driver.wait() == 143, driver.said()
    (saved,) = positions(driver)
    assert f"stopped with a checkpoint after {saved}" in driver.said()
    driver.start_again()
    assert driver.wait() == 0, driver.said()
    assert f"continued after {saved}" in driver.said()


@pytest.mark.long
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_asked_to_end_before_it_trains_ends_at_once(
    drive: Drive, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    """While machines are waited for that do not come, and while images are packed."""
    driver = drive("--num-workers", "7", "--start-timeout", "300")
    wait_until(lambda: "waiting up to 900 s for more" in driver.said())
    time.sleep(2)
    driver.ask_to_end(number)
    began = time.monotonic()
    assert driver.wait() == status, driver.said()
    assert time.monotonic() - began < 30
    driver.run_dir.rename(tmp_path / "waited")
    pool = tmp_path / "pool"
    pool.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (1500, 1500, 3), dtype=np.uint8)).save(tmp_path / "1.png")
    for i in range(1500):
        (pool / f"{i}.png").symlink_to(tmp_path / "1.png")
    driver = drive("--source", str(pool), "--max-source", "1500")
    wait_until(lambda: bool([*driver.run_dir.glob("packed/.*.tmp")]))
    driver.ask_to_end(number)
    assert driver.wait() == status, driver.said()
    assert not [*driver.run_dir.glob("packed/.*")], "half-packed folders stay"
    assert not [*driver.run_dir.glob("packed/pool*")]


@pytest.mark.long
def test_storage_may_fail_for_a_while(drive: Drive, undisturbed: str, tmp_path: Path) -> None:
    storage = tmp_path / "storage" / "run"
    driver = drive("--storage-path", str(storage))
    wait_until(lambda: driver.has_trained() and bool(checkpoints(RemoteFolder.at(str(storage)))))
    storage.rename(tmp_path / "away")
    storage.touch()  # A file where a folder should be: every write fails.
    wait_until(lambda: "the next checkpoint tries again" in driver.said())
    storage.unlink()
    (tmp_path / "away").rename(storage)
    assert driver.wait() == 0, driver.said()
    assert digest(driver.run_dir) == undisturbed
    assert checkpoints(RemoteFolder.at(str(storage)))[-1] == Position(5)
    assert (storage / "results.parquet").read_bytes() == (driver.run_dir / "results.parquet").read_bytes()


@pytest.mark.long
def test_numbers_that_blow_up_end_the_run_with_one_line(drive: Drive) -> None:
    driver = drive("--learning-rate", "1e30")
    assert driver.wait() == 1
    (error,) = [line for line in driver.said().splitlines() if line.startswith("error")]
    assert re.match(r"error: \S+ is not finite at step \d+ of epoch 1", error)
    assert "continued after" not in driver.said(), "it was tried again"


@pytest.mark.long
def test_more_workers_than_a_cluster_has_is_no_endless_wait(drive: Drive) -> None:
    driver = drive("--num-workers", "7", "--start-timeout", "2")
    assert driver.wait() != 0
    said = driver.said()
    assert "7 worker(s) want 7 CPUs and 0 GPUs; the cluster has 3 CPUs and 0 GPUs now; waiting" in said
    assert "did not start in time" in said


@pytest.mark.long
def test_fewer_workers_go_on_where_that_is_allowed(arena: Arena, drive: Drive) -> None:
    """Two of three machines are left, and the run was told that two workers will do."""
    driver = drive("--num-workers", "3", "--min-workers", "2", "--start-timeout", "20")
    wait_until(lambda: driver.has_trained() and len(arena.workers()) == 3)
    arena.kill_node(random.Random(0))
    assert driver.wait() == 0, driver.said()
    assert "3 worker(s)" in driver.said()
    assert "2 worker(s)" in driver.said()
    arena.refill()


@pytest.mark.long
def test_this_machine_has_no_room_for_so_many(tmp_path: Path) -> None:
    """Without a cluster Ray is started here, and what does not fit is refused before anything is trained."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "bdw",
            "fit",
            "--run-dir",
            str(tmp_path / "run"),
            "--num-workers",
            "99",
            "--gpus-per-worker",
            "8",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "num_workers: 99 worker(s) want 99 CPUs and 792 GPUs; this machine has" in done.stderr
