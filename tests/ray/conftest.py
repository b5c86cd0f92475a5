"""A cluster of several nodes on this machine, whose parts may be killed, and what an undisturbed run on it leaves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.chaos import Arena, digest, running_arena, train_undisturbed


@pytest.fixture(scope="module")
def arena() -> Iterator[Arena]:
    with running_arena(nodes=3) as arena:
        yield arena


@pytest.fixture(scope="module")
def undisturbed(arena: Arena, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of a run that nothing happens to."""
    run_dir = tmp_path_factory.mktemp("peace") / "run"
    train_undisturbed(arena, run_dir)
    return digest(run_dir)
