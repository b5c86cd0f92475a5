"""`bdw embed`: the features that measures use, with names; and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from bdw import cli
from bdw.data import PackedDataset
from bdw.evaluation.features import Settings, extract_features
from bdw.runs.export import read_encoder
from bdw.scoring import shards

Folders = tuple[Path, Path]


def embed(run: Path, pool: object, out: Path, *flags: str) -> int:
    return cli.main(["embed", str(pool), "--run", str(run), "--out", str(out), *flags])


def test_features_are_those_that_measures_use(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shards, "BATCH_SIZE", 100)
    packed = tmp_path / "packed"
    assert cli.main(["pack", "digits", str(packed), "--image-size", "16"]) == 0
    store = PackedDataset.open(packed)
    encoder, _ = read_encoder(run_dir / "encoder.safetensors")
    for layer, flags in ((None, []), ("layers.1", ["--layer", "layers.1"])):
        out = tmp_path / f"{layer}.parquet"
        capsys.readouterr()
        assert embed(run_dir, packed, out, *flags) == 0
        assert f"features (layer {layer or 'output'}) in " in capsys.readouterr().out
        table = pq.read_table(out)
        assert table.column_names == ["name", "embedding"], "a packed pool has no files"
        assert table["name"].to_pylist() == store.names.tolist()
        values = np.array(table["embedding"].to_pylist(), dtype=np.float32)
        expected = extract_features(encoder, np.array(store.images), Settings(crop_size=16, layer=layer))
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-5)


def test_npy_has_its_names_beside_it(run_dir: Path, folders: Folders, tmp_path: Path) -> None:
    """Without the image that cannot be read, which leaves no row."""
    out = tmp_path / "features.npy"
    assert embed(run_dir, folders[0], out) == 0
    names = np.load(tmp_path / "features.names.npy", allow_pickle=False)
    values = np.load(out, allow_pickle=False)
    assert values.shape == (24, 64)
    assert values.dtype == np.float32
    assert names.tolist() == [f"{i:02}.png" for i in range(24)]
    table = tmp_path / "features.parquet"
    assert (
        cli.main(["embed", str(folders[0]), "--encoder", str(run_dir / "encoder.safetensors"), "--out", str(table)])
        == 0
    )
    written = pq.read_table(table)
    np.testing.assert_array_equal(np.array(written["embedding"].to_pylist(), dtype=np.float32), values)
    assert written["filepath"].to_pylist() == [str(Path(folders[0]).resolve() / name) for name in names.tolist()]


def test_what_cannot_work_is_one_line(
    run_dir: Path, folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "f.parquet"
    assert cli.main(["embed", str(folders[0]), "--out", str(out)]) == 2
    assert "run, encoder: give one of" in capsys.readouterr().err
    for flags, said in (
        (["--layer", "layers.9"], "layer: 'layers.9' is not known"),
        (["--out", str(tmp_path / "f.csv")], "ends in '.csv'; allowed: .parquet, .npy"),
        (["--out", str(run_dir / "metrics.csv")], "allowed: .parquet, .npy"),
        (["--out", str(run_dir / "results.parquet")], "already exists"),
    ):
        assert embed(run_dir, folders[0], out, *flags) == 2
        assert said in capsys.readouterr().err
    assert embed(tmp_path / "none", folders[0], out) == 2
    assert "does not exist; allowed: the directory of a run" in capsys.readouterr().err
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"no picture")
    assert embed(run_dir, tmp_path / "bad", out) == 2
    assert "none of its images can be read" in capsys.readouterr().err
    assert not list(tmp_path.glob("*f.parquet*")), "not even a temporary file is left"
