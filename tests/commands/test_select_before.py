"""`bdw select --selector`: a choice before anything was trained."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from bdw import cli
from bdw.commands.options import Select
from bdw.config.selector_options import NeuralDataServerOptions, SimCoreOptions
from bdw.errors import InputError


def select(out: Path, folders: tuple[Path, Path], *flags: object) -> int:
    pool, target = folders
    own = ["--pool", pool, "--target", target, "--cache-dir", out.parent / "cache", "--image-size", 16]
    return cli.main(["select", "--out", str(out), *map(str, own), *map(str, flags)])


def test_options_of_the_selector_are_flags() -> None:
    command = cli.parse(["select", "--out", "a.txt", "--selector", "simcore", "--selector.clusters", "7"])
    assert isinstance(command, Select)
    assert command.selector.selector_options == SimCoreOptions(clusters=7)
    command = cli.parse(["select", "--selector", "neural-data-server", "--selector.experts", "3", "--out", "a.txt"])
    assert isinstance(command, Select)
    assert command.selector.selector_options == NeuralDataServerOptions(experts=3)
    command = cli.parse(["fit", "--selector", "simcore", "--selector.features", "pixels", "--selected-share", "0.2"])
    assert command.config.selector.selected_share == 0.2  # type: ignore[union-attr]
    assert command.config.selector.selector_options == SimCoreOptions(features="pixels")  # type: ignore[union-attr]


def test_an_unknown_option_of_the_selector_is_told_the_nearest() -> None:
    with pytest.raises(InputError, match=r"--selector\.clster: is not known; did you mean --selector\.clusters\?"):
        cli.parse(["select", "--out", "a.txt", "--selector", "simcore", "--selector.clster", "7"])


def test_a_choice_trains_the_next_run(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table names every image; a run with weights from it, and one with the selector itself, train on the same."""
    out = tmp_path / "kept.parquet"
    flags = ["--selector", "nearest-neighbour", "--selector.features", "pixels"]
    assert select(out, folders, *flags, "--count", 8) == 0
    said = capsys.readouterr().out
    assert re.search(r"^chose   8 of 24 images in \d+\.\d s: .*kept\.parquet$", said, re.MULTILINE)
    table = pd.read_parquet(out)
    assert list(table) == ["name", "filepath", "mean", "kept"]
    assert table["kept"].sum() == 8
    assert (table["mean"] == table["kept"]).all()
    assert all(Path(path).is_file() for path in table["filepath"])
    shared = ["--preset", "digits", "--source", folders[0], "--target", folders[1], "--ways", 3, "--epochs", 1]
    shared += ["--batch-size", 4, "--no-report", "--image-size", 16]
    ways = {
        "given": ["--weighter", "given", "--weights-file", out],
        "chosen": [*flags, "--weighter", "uniform", "--selected-count", 8],
    }
    for name, own in ways.items():
        assert cli.main(["fit", *map(str, [*shared, *own, "--run-dir", tmp_path / name])]) == 0
        trained = pd.read_parquet(tmp_path / name / "instance_weights.parquet")
        assert dict(zip(trained["name"], trained["kept"], strict=True)) == dict(
            zip(table["name"], table["kept"], strict=True)
        )
    assert "chosen  8 of 24 images by nearest-neighbour, in " in capsys.readouterr().out


def test_a_share_becomes_a_folder_of_links(folders: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "kept"
    assert select(out, folders, "--selector", "random", "--share", 0.25, "--link") == 0
    assert len(list(out.iterdir())) == 6
    assert all(path.is_symlink() for path in out.iterdir())


def test_experts_are_kept_for_the_next_target(folders: tuple[Path, Path], tmp_path: Path) -> None:
    flags = ["--selector", "neural-data-server", "--selector.features", "pixels", "--selector.experts", 2]
    flags += ["--selector.expert-images", 64, "--selector.expert-batch", 8, "--count", 6]
    assert select(tmp_path / "a.txt", folders, *flags) == 0
    experts = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").glob("experts-*/*.safetensors")}
    assert len(experts) == 3  # Two, and which image is whose.
    assert select(tmp_path / "b.txt", folders, *flags) == 0
    assert {path: path.stat().st_mtime_ns for path in experts} == experts
    assert (tmp_path / "a.txt").read_text() == (tmp_path / "b.txt").read_text()


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--selector", "simcor"], "selector: 'simcor' is not known (did you mean 'simcore'?); allowed: "),
        (["--selector", "random"], "selected_share: none cannot work with selector 'random', which needs a size"),
        (["--selector", "random", "--count", 25], "selected_count: 25 is more than the 24 images of the source"),
        (["--selector", "random", "--count", 2, "--share", 0.5], "count, share: both given; allowed: one of them"),
        (["--selector", "random", "--at-least", 0.5], "at_least: 0.5 cannot work with selector 'random', which"),
        (["--selector", "importance", "--selector.features", "pixels", "--count", 3],
         "selector: 'importance' needs labels of the pool"),
        (["--selector", "random", "--count", 3, "--num-workers", 2, "--device", "cuda"],
         "device: 'cuda' cannot work with num_workers, each of one CPU; allowed: auto, cpu"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_one_line(
    flags: list[object], line: str, folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert select(tmp_path / "kept.txt", folders, *flags) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {line}")
    assert said.count("\n") == 1
    assert not (tmp_path / "kept.txt").exists()


def test_scores_or_a_selector_are_needed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["select", "--out", str(tmp_path / "kept.txt"), "--count", "3"]) == 2
    assert capsys.readouterr().err == "error: scores, selector: none given; allowed: one of them\n"
    assert cli.main(["select", "--out", str(tmp_path / "kept.txt"), "--selector", "random", "--count", "3"]) == 2
    assert capsys.readouterr().err.startswith("error: pool: none cannot work with a selector; allowed: images")
