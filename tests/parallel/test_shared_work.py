"""Work that one worker leads and all do."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bdw.errors import InputError
from bdw.parallel import collectives
from bdw.parallel.shared_work import InParallel, with_all
from tests.workers import on_workers


def _piece(number: int) -> tuple[int, int]:
    assert collectives.size() == 1, "a piece is a worker's own"
    if number == 13:
        raise InputError("number: 13 cannot work; allowed: others")
    if number == 14:
        raise ValueError("14")
    return number * number, os.getpid()


def _squares(numbers: list[int], in_parallel: InParallel) -> dict[str, list[int]]:
    found: Iterator[Any] = in_parallel([functools.partial(_piece, number) for number in numbers])
    values, processes = zip(*found, strict=True)
    return {"values": list(values), "processes": list(processes)}


def _led(numbers: list[int]) -> dict[str, Any]:
    return {**with_all(functools.partial(_squares, numbers)), "own": os.getpid()}


def _failing(numbers: list[int]) -> str:
    try:
        with_all(functools.partial(_squares, numbers))
    except Exception as error:
        return f"{type(error).__name__}: {error}, {collectives.gather_objects(collectives.rank())}"
    return "nothing was raised"


def test_all_workers_do_the_pieces(tmp_path: Path) -> None:
    """Five pieces on two workers: three of the first, two of the second, and the same result on both."""
    first, second = on_workers(2, tmp_path / "results", _led, [1, 2, 3, 4, 5])
    assert first["values"] == second["values"] == [1, 4, 9, 16, 25]
    mine, theirs = first["own"], second["own"]
    assert first["processes"] == second["processes"] == [mine, theirs, mine, theirs, mine]


@pytest.mark.parametrize(
    ("numbers", "first", "second"),
    [
        ([1, 13], "InputError: number: 13 cannot work; allowed: others", "InputError: number: 13 cannot work"),
        ([14, 1, 2], "RuntimeError: worker 0 failed: 14", "RuntimeError: worker 0 failed: worker 0 failed: 14"),
    ],
)
def test_a_failure_is_raised_on_all(tmp_path: Path, numbers: list[int], first: str, second: str) -> None:
    """Nobody is left waiting: the workers exchange something afterwards."""
    mine, theirs = on_workers(2, tmp_path / "results", _failing, numbers)
    assert mine.startswith(first)
    assert theirs.startswith(second)
    assert mine.endswith("[0, 1]")
    assert theirs.endswith("[0, 1]")


def test_one_worker_does_all() -> None:
    assert with_all(functools.partial(_squares, [3, 4]))["values"] == [9, 16]
