"""`bdw select`: lists, tables, copies and links of what is kept, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import bdw
from bdw import cli


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """Twelve noisy pictures in two folders; the last three are the first three, a little brighter."""
    rng = np.random.default_rng(0)
    pixels = [rng.integers(20, 220, (32, 32, 3), dtype=np.uint8) for _ in range(9)]
    pixels += [image + 20 for image in pixels[:3]]
    for number, image in enumerate(pixels):
        path = tmp_path / "pictures" / "ab"[number % 2] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return tmp_path / "pictures"


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """Image i of the pool has the score i / 12."""
    numbers = range(12)
    table = pd.DataFrame({"name": [f"{'ab'[i % 2]}/{i:02}.png" for i in numbers], "mean": [i / 12 for i in numbers]})
    table.to_parquet(tmp_path / "scores.parquet")
    return tmp_path / "scores.parquet"


def select(scores: Path, out: Path, *flags: object) -> int:
    return cli.main(["select", "--scores", str(scores), "--out", str(out), *map(str, flags)])


def test_a_list_names_the_best_first(scores: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "kept.txt"
    assert select(scores, out, "--count", 3) == 0
    assert out.read_text() == "b/11.png\na/10.png\nb/09.png\n"
    assert capsys.readouterr().out == f"chose   3 of 12 images, of mean weight 0.7500 or more: {out}\n"


def test_a_table_has_every_image_and_trains_the_next_run(
    scores: Path, pool: Path, tmp_path: Path, folders: tuple[Path, Path]
) -> None:
    out = tmp_path / "kept.parquet"
    assert select(scores, out, "--at-least", 0.5, "--pool", pool, "--no-near-duplicates") == 0
    table = pd.read_parquet(out)
    assert list(table) == ["name", "filepath", "mean", "kept", "near_duplicate_of"]
    assert np.flatnonzero(table["kept"]).tolist() == [6, 7, 8, 9, 10, 11]
    twins = {"a/00.png": "b/09.png", "b/01.png": "a/10.png", "a/02.png": "b/11.png"}
    assert {k: v for k, v in zip(table["name"], table["near_duplicate_of"], strict=True) if isinstance(v, str)} == twins
    assert all(Path(path).is_file() for path in table["filepath"])
    flags = ["--preset", "digits", "--source", pool, "--target", folders[1], "--ways", 3, "--epochs", 1]
    flags += ["--batch-size", 4, "--weighter", "given", "--weights-file", out, "--no-report"]
    flags += ["--run-dir", tmp_path / "next"]
    assert cli.main(["fit", *map(str, flags)]) == 0
    trained = pq.read_table(tmp_path / "next" / "instance_weights.parquet").to_pandas()
    by_name = dict(zip(table["name"], table["kept"], strict=True))
    # What was not kept was pruned before the first epoch.
    assert dict(zip(trained["name"], trained["kept"], strict=True)) == by_name
    same = bdw.select(str(scores), at_least=0.5, pool=str(pool), near_duplicates=False)
    pd.testing.assert_frame_equal(same, table)
    pd.testing.assert_frame_equal(bdw.select(pd.read_parquet(scores), count=2), bdw.select(scores, count=2))
    with pytest.raises(bdw.InputError, match="scores: the table has no column mean"):
        bdw.select(pd.read_parquet(scores)[["name"]], count=2)
    with pytest.raises(bdw.InputError, match=r"scores: mean holds \w+ values; allowed: numbers"):
        bdw.select(pd.DataFrame({"name": ["a"], "mean": ["much"]}), count=1)


def test_other_tools_read_the_table(scores: Path, pool: Path, tmp_path: Path) -> None:
    """What FiftyOne's `Sample(filepath=..., field=...)` takes in a loop over rows, and others as a DataFrame: absolute
    paths of files, flat columns of plain values (docs.voxel51.com, "Importing data into FiftyOne")."""
    out = tmp_path / "kept.parquet"
    assert select(scores, out, "--count", 4, "--pool", pool) == 0
    plain = (pa.string(), pa.float64(), pa.bool_())
    assert all(field.type in plain for field in pq.read_schema(out))
    rows = list(pd.read_parquet(out).itertuples())
    assert len(rows) == 12
    for row in rows:
        assert isinstance(row.filepath, str)
        assert isinstance(row.mean, float)
        assert row.kept in (True, False)
        assert Path(row.filepath).is_absolute()
        with Image.open(row.filepath) as picture:
            assert picture.size == (32, 32)


def test_of_near_duplicates_the_best_is_kept(
    scores: Path, pool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "kept.txt"
    assert select(scores, out, "--count", 9, "--pool", pool, "--no-near-duplicates") == 0
    assert "note    3 images are near-duplicates of better ones\n" in capsys.readouterr().out
    assert sorted(int(name[2:4]) for name in out.read_text().split()) == list(range(3, 12))


@pytest.mark.parametrize("link", [False, True])
def test_copies_and_links(scores: Path, pool: Path, tmp_path: Path, link: bool) -> None:
    out = tmp_path / "kept"
    assert select(scores, out, "--share", 0.25, "--pool", pool, *["--link"] * link) == 0
    found = sorted(path for path in out.rglob("*.png"))
    assert [path.relative_to(out).as_posix() for path in found] == ["a/10.png", "b/09.png", "b/11.png"]
    for path in found:
        assert path.is_symlink() == link
        assert path.read_bytes() == (pool / path.relative_to(out)).read_bytes()


def test_clusters_cover_what_scores_alone_would_not(
    run_dir: Path, scores: Path, pool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    features = tmp_path / "features.parquet"
    assert cli.main(["embed", str(pool), "--run", str(run_dir), "--out", str(features)]) == 0
    out = tmp_path / "kept.txt"
    assert select(scores, out, "--count", 12, "--clusters", 3, "--features", features) == 0
    assert len(out.read_text().split()) == 12
    assert select(scores, tmp_path / "x.txt", "--count", 3, "--clusters", 13, "--features", features) == 2
    assert "clusters: 13 cannot work; allowed: 2 to 12" in capsys.readouterr().err
    assert select(scores, tmp_path / "x.txt", "--count", 3, "--clusters", 3, "--features", scores) == 2
    assert "cannot be read as `bdw embed` writes them" in capsys.readouterr().err
    # pandas writes lists that could be of any length; those of one's own embedding serve, too.
    own, same = tmp_path / "own.parquet", ["--count", 4, "--clusters", 4]
    table = pd.read_parquet(features)
    table.to_parquet(own)
    for out, file in (("theirs.txt", features), ("own.txt", own)):
        assert select(scores, tmp_path / out, *same, "--features", file) == 0
    assert (tmp_path / "own.txt").read_text() == (tmp_path / "theirs.txt").read_text()
    table.at[0, "embedding"] = table.at[0, "embedding"][1:]
    table.to_parquet(own)
    capsys.readouterr()
    assert select(scores, tmp_path / "x.txt", *same, "--features", own) == 2
    assert "embeddings are not all equally long" in capsys.readouterr().err
    few = pd.read_parquet(features).head(5)
    few.to_parquet(tmp_path / "few.parquet")
    assert (
        select(scores, tmp_path / "x.txt", "--count", 3, "--clusters", 3, "--features", tmp_path / "few.parquet") == 2
    )
    assert "few.parquet" in capsys.readouterr().err


def test_what_cannot_work_is_one_line(
    scores: Path, pool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    Image.new("L", (8, 8)).save(other / "1.png")
    doubled = tmp_path / "doubled.parquet"
    pd.concat([pd.read_parquet(scores)] * 2).to_parquet(doubled)
    nameless = tmp_path / "nameless.parquet"
    pd.DataFrame({"mean": [0.5]}).to_parquet(nameless)
    cases: list[tuple[Path, str, list[Any], str]] = [
        (scores, "x.txt", [], "count, share, at_least: none given; allowed: one of them"),
        (scores, "x.txt", ["--count", 13], "count: 13 asks for 13 of 12 images"),
        (scores, "scores.parquet", ["--count", 1], "already exists; allowed: a path where nothing is yet"),
        (scores, "x", ["--count", 1], "would be a folder of images, which needs --pool with a folder of images"),
        (scores, "x", ["--count", 1, "--pool", "digits"], "would be a folder of images"),
        (scores, "x", ["--count", 1, "--pool", other], "has no file 'b/11.png'; allowed: the folder that was scored"),
        (scores, "x.txt", ["--count", 1, "--link"], "link: cannot work with --out"),
        (scores, "x.txt", ["--count", 1, "--no-near-duplicates"], "near_duplicates: to leave them out takes --pool"),
        (scores, "x.txt", ["--count", 1, "--no-near-duplicates", "--pool", other], "pool: lacks 12 image(s) that have"),
        (scores, "x.txt", ["--count", 1, "--clusters", 2], "clusters: cannot work without features"),
        (doubled, "x.txt", ["--count", 1], "names are not unique"),
        (nameless, "x.txt", ["--count", 1], "has no column name"),
        (tmp_path / "none.parquet", "x.txt", ["--count", 1], "does not exist"),
        (pool / "a" / "00.png", "x.txt", ["--count", 1], "cannot be read"),
    ]
    for table, out, flags, said in cases:
        assert select(table, tmp_path / out, *flags) == 2, said
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    assert not (tmp_path / "x.txt").exists()
    assert not (tmp_path / "x").exists()
