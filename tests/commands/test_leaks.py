"""`bdw leaks`, and what `fit` says of the same images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from bdw import cli


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A pool of 24 patches of a photograph, one of them a test image that is 10 % darker, and a target of three
    classes."""
    photo = load_sample_images().images[0]
    cut = [photo[top : top + 40, left : left + 40] for top in range(0, 380, 40) for left in range(0, 600, 40)]
    patches = iter(sorted(cut, key=lambda patch: -patch.std())[:100])
    pool, target = tmp_path / "pool", tmp_path / "mine"
    for name in ("cat", "dog", "fox"):
        for split, count in (("train", 10), ("test", 4)):
            (target / split / name).mkdir(parents=True)
            for i in range(count):
                Image.fromarray(next(patches)).save(target / split / name / f"{split}-{i}.png")
    pool.mkdir()
    for i in range(23):
        Image.fromarray(next(patches)).save(pool / f"{i:02}.png")
    leak = np.asarray(Image.open(target / "test" / "dog" / "test-2.png"))
    Image.fromarray((leak * 0.9).astype(np.uint8)).save(pool / "IMG_1.png")
    return pool, target


def test_a_leak_is_named(folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pool, target = folders
    out = tmp_path / "leaks.parquet"
    assert cli.main(["leaks", str(pool), "--target", str(target), "--image-size", "40", "--out", str(out)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"pool    {pool}: 24 images"
    assert said[1] == f"target  {target}: 6 validation, 12 test images"
    assert said[2] == (
        "leaks   1 image of the source is or nearly is the target's validation or test images: 1 test images"
    )
    assert said[3].startswith("        IMG_1.png is nearly test image ")
    assert said[3].endswith("dog/test-2.png")
    assert said[-1] == "advice  fit --data.without-leaks leaves them out of the pool"
    (row,) = pq.read_table(out).to_pylist()
    assert (row["name"], row["split"]) == ("IMG_1.png", "test")
    assert not list(pool.glob("packed*")), "nothing is left behind"


def test_fit_says_so_and_leaves_it_out_on_request(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["fit", "--preset", "digits", "--source", str(folders[0]), "--target", str(folders[1]), "--epochs", "1"]
    flags += [
        "--image-size",
        "40",
        "--crop-size",
        "40",
        "--ways",
        "3",
        "--shots",
        "3",
        "--queries",
        "3",
        "--batch-size",
        "8",
    ]
    assert cli.main([*flags, "--run-dir", str(tmp_path / "plain")]) == 0
    said = capsys.readouterr().out
    assert "1 image of the source is or nearly is the target's validation or test images, such as IMG_1.png" in said
    assert "--data.without-leaks leaves them out" in said
    described = json.loads((tmp_path / "plain" / "config.json").read_text())["source"]
    assert (described["count"], described["leaks"], described["held_out_in_source"]) == (24, {"test": 1}, {})
    page = (tmp_path / "plain" / "report.html").read_text(encoding="utf-8")
    assert "trained on 1 test image, or on near-copies of them, without labels" in page
    assert cli.main([*flags, "--run-dir", str(tmp_path / "clean"), "--data.without-leaks"]) == 0
    said = capsys.readouterr().out
    assert "IMG_1.png" in said
    assert "they were left out" in said
    described = json.loads((tmp_path / "clean" / "config.json").read_text())["source"]
    assert (described["count"], described["leaks"]) == (23, {})
    names = pq.read_table(tmp_path / "clean" / "instance_weights.parquet")["name"].to_pylist()
    assert names == [f"{i:02}.png" for i in range(23)]


def test_what_cannot_work_is_one_line(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*flags: str) -> str:
        assert cli.main(["leaks", str(folders[0]), "--target", str(folders[1]), *flags]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        return said

    assert "image_size: 31 cannot work, smaller images of one kind look alike; allowed: at least 32" in refused(
        "--image-size", "31"
    )
    assert "ends in '.csv'; allowed: .parquet" in refused("--out", str(tmp_path / "leaks.csv"))
    assert "target: 'nowhere'" in refused("--target", "nowhere")


def test_crops_are_found_on_request(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The clean table keeps all other images."""
    pool, target = folders
    whole = Image.open(target / "test" / "cat" / "test-1.png")
    whole.crop((6, 2, 34, 30)).resize((40, 40)).save(pool / "cut.png")
    out, clean = tmp_path / "leaks.parquet", tmp_path / "clean.parquet"
    command = ["leaks", str(pool), "--target", str(target), "--image-size", "40"]
    assert cli.main(command) == 0
    assert "cut.png" not in capsys.readouterr().out
    assert cli.main([*command, "--features", "pixels", "--out", str(out), "--clean", str(clean)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert any(line.strip().startswith("cut.png is a part of, or holds, test image ") for line in said)
    assert said[-1].startswith("advice  fit --selector given --selector.weights-file")
    rows = {row["name"]: row for row in pq.read_table(out).to_pylist()}
    assert {name: row["is_crop"] for name, row in rows.items()} == {"IMG_1.png": False, "cut.png": True}
    weights = {row["name"]: row["weight"] for row in pq.read_table(clean).to_pylist()}
    assert len(weights) == 25
    assert {name for name, weight in weights.items() if weight == 0} == {"IMG_1.png", "cut.png"}
    flags = ["fit", "--preset", "digits", "--source", str(pool), "--target", str(target), "--epochs", "1"]
    flags += ["--image-size", "40", "--crop-size", "40", "--batch-size", "8", "--no-report"]
    flags += ["--selector", "given", "--selector.weights-file", str(clean), "--weighter", "uniform"]
    flags += ["--run-dir", str(tmp_path / "run"), "--cache-dir", str(tmp_path / "cache")]
    assert cli.main(flags) == 0
    kept = pq.read_table(tmp_path / "run" / "instance_weights.parquet").to_pylist()
    assert {row["name"] for row in kept if not row["kept"]} == {"IMG_1.png", "cut.png"}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--clean", "clean.csv"], "clean: clean.csv ends in '.csv'; allowed: .parquet"),
        (["--features", "nowhere.safetensors"], "features: '/"),
    ],
)
def test_what_cannot_be_looked_for_is_one_line(
    folders: tuple[Path, Path], flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["leaks", str(folders[0]), "--target", str(folders[1]), *flags]) == 2
    error = capsys.readouterr().err
    assert words.removesuffix("/") in error
    assert error.count("\n") == 1
