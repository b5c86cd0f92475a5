"""Independent pieces of work on Ray's workers."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from bdw import cli
from bdw.errors import InputError, RunError
from bdw.ray.parallel import side_by_side


def square(number: int) -> int:
    if number < 0:
        raise InputError(f"number: {number} cannot work; allowed: 0 or more")
    return 1 // (4 - number) * 0 + number**2


def test_each_piece_is_done_once_and_errors_are_told(local_ray: None) -> None:
    with side_by_side(2) as done:
        assert sorted(done([functools.partial(square, number) for number in (3, 1, 2)])) == [1, 4, 9]
        assert list(done([])) == []
        with pytest.raises(InputError, match="number: -1 cannot work; allowed: 0 or more"):
            list(done([functools.partial(square, -1)]))
        with pytest.raises(RunError, match="a worker failed: ZeroDivisionError"):
            list(done([functools.partial(square, 4)]))


def test_relative_paths_mean_what_they_mean_here(
    local_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here.txt").write_text("found")
    monkeypatch.chdir(tmp_path)
    with side_by_side(1) as done:
        assert list(done([functools.partial(Path("here.txt").read_text, "utf-8")])) == ["found"]


@pytest.mark.long
def test_experts_of_workers_choose_the_same(local_ray: None, tmp_path: Path) -> None:
    def select(name: str, *flags: str) -> str:
        own = ["--pool", "glyphs:images=300", "--target", "glyphs-hebrew", "--image-size", "16", "--share", "0.2"]
        own += ["--selector", "neural-data-server", "--selector.features", "pixels", "--selector.experts", "3"]
        own += ["--selector.expert-images", "256", "--cache-dir", str(tmp_path / name), "--device", "cpu"]
        out = tmp_path / f"{name}.txt"
        assert cli.main(["select", "--out", str(out), *own, *flags]) == 0
        return out.read_text()

    assert select("workers", "--num-workers", "2") == select("here")
