"""`bdw pack` to an address, and `bdw fit` from there."""

from __future__ import annotations

from pathlib import Path

import pytest

from bdw import cli
from bdw.data import PackedDataset
from bdw.data.readers import addresses
from bdw.storage.remote_folder import RemoteFolder, below


def test_a_pool_is_packed_to_an_address_and_trained_on_from_there(
    tmp_path: Path, s3_address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("bdw.data.readers.addresses", "bdw.data.problem", "bdw.commands.pack"):
        monkeypatch.setattr(f"{module}.CACHE", str(tmp_path / "cache"))
    pool = below(s3_address, "pool")
    assert cli.main(["pack", "digits", pool, "--image-size", "16"]) == 0
    assert f"of 1 x 16 x 16 (channels x height x width): {pool}\n" in capsys.readouterr().out
    assert list((tmp_path / "cache").iterdir()) == [], "left behind"
    assert cli.main(["pack", "digits", str(tmp_path / "here"), "--image-size", "16"]) == 0
    run = ["fit", "--preset", "digits", "--run-dir", str(tmp_path / "run"), "--source", pool]
    assert cli.main([*run, "--epochs", "1", "--max-source", "64", "--no-report"]) == 0
    (fetched,) = (tmp_path / "cache").glob("pool-" + 16 * "?")
    assert PackedDataset.open(fetched).content_key == PackedDataset.open(tmp_path / "here").content_key
    capsys.readouterr()
    # What is there is not written over.
    assert cli.main(["pack", "digits", pool, "--image-size", "16"]) == 2
    assert capsys.readouterr().err == (
        f"error: out: {pool} is not empty; choose another address, or delete what lies there\n"
    )


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("nonsense://pool", "error: out: 'nonsense://pool' cannot be used"),
        ("file:///proc/pool", "error: out: cannot write to /proc/pool"),
    ],
)
def test_an_address_that_cannot_be_written_is_one_line_before_anything_is_packed(
    out: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bdw.data.pack", lambda *args, **options: pytest.fail("packed"))
    assert cli.main(["pack", "digits", out]) == 2
    said = capsys.readouterr().err
    assert said.startswith(message)
    assert said.count("\n") == 1


def test_a_pool_that_is_not_there_is_one_line(
    tmp_path: Path, s3_address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(addresses, "CACHE", str(tmp_path / "cache"))
    run = ["fit", "--preset", "digits", "--run-dir", str(tmp_path / "run")]
    assert cli.main([*run, "--source", below(s3_address, "nothing")]) == 2
    said = capsys.readouterr().err
    assert "source: " in said
    assert "holds no images; allowed: a folder of images" in said
    assert said.count("\n") == 1
    assert RemoteFolder.at(s3_address).listed() == []
