"""A pool packed in pieces is the store that one process writes, byte for byte, whoever wrote which piece when."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sample_sets import write_folder

from bdw.data import PackedDataset, pack
from bdw.data import pieces as module
from bdw.data.pack_request import PackRequest
from bdw.data.packing import write_part
from bdw.data.pieces import Pieces, write_part_on
from bdw.errors import InputError
from bdw.storage.remote_folder import RemoteFolder

SIZE = 8


@pytest.fixture(autouse=True)
def seven_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BYTES", 7 * 3 * SIZE * SIZE)
    monkeypatch.setattr(module, "SECONDS", 0.0)


@pytest.fixture
def odd_folder(tmp_path: Path) -> Path:
    """Of images, of which some cannot be decoded, are deep, or have a single pixel, and other files."""
    folder = write_folder(tmp_path / "pool")
    for i in range(7):
        (folder / "a" / f"1{i}-broken.png").write_text("no image")
    for i in (0, 20):
        Image.fromarray(np.full((9, 9), 4000 - i, dtype=np.uint16)).save(folder / "b" / f"{i}-deep.png")
        Image.new("RGB", (1, 1), "red").save(folder / f"{i}-single.png")
    (folder / "notes.txt").write_text("no image")
    return folder


def cut(spec: str, place: str, **fields: object) -> tuple[Pieces, PackRequest]:
    request = PackRequest(spec=spec, image_size=SIZE, **fields)  # type: ignore[arg-type]
    part, origin = request.chosen()
    return Pieces.of(part, origin, SIZE, RemoteFolder.at(place)), request


def write(pieces: Pieces, request: PackRequest, numbers: list[int]) -> None:
    """In a process of its own, as far as what it knows of other pieces goes."""
    part, _ = request.chosen()
    for number in numbers:
        pieces.write(part, number)


def assemble(pieces: Pieces, request: PackRequest, path: Path) -> PackedDataset:
    part, origin = request.chosen()
    return pieces.assemble(path, classes=part.classes, unused=part.unused, origin=origin)


@pytest.mark.parametrize("place", ["file", "s3"])
def test_pieces_make_the_store_of_one_process(
    tmp_path: Path, odd_folder: Path, place: str, request: pytest.FixtureRequest
) -> None:
    where = f"{tmp_path}/pieces" if place == "file" else str(request.getfixturevalue("s3_address"))
    alone = pack(str(odd_folder), tmp_path / "alone", SIZE)
    pieces, wanted = cut(str(odd_folder), where)
    assert len(pieces) == 6
    write(pieces, wanted, [5, 0, 2])
    assert pieces.missing() == [1, 3, 4]
    write(pieces, wanted, pieces.missing())
    together = assemble(pieces, wanted, tmp_path / "together")
    for file in sorted(path.name for path in alone.path.iterdir()):
        if file != "header.json":
            assert (together.path / file).read_bytes() == (alone.path / file).read_bytes(), file
    # Where a deep image was met first does not matter; all else in the header is in order.
    assert dict(together.header) == dict(alone.header)
    assert "2 images have a single pixel" in together.remarks
    together.verify()
    pieces.delete()
    assert pieces.missing() == list(range(6))
    assert RemoteFolder.at(where).listed() == []


def test_labels_and_planted_tags_go_along(tmp_path: Path) -> None:
    for spec, fields in (("digits", {"max_images": 50}), ("digits", {"part": "train", "max_images": 30})):
        name = str(fields.get("part", "source"))
        alone = pack(spec, tmp_path / f"alone-{name}", SIZE, **fields)  # type: ignore[arg-type]
        pieces, wanted = cut(spec, str(tmp_path / "pieces"), **fields)
        write(pieces, wanted, pieces.missing())
        assert dict(assemble(pieces, wanted, tmp_path / f"together-{name}").header) == dict(alone.header)


def test_pieces_of_changed_images_are_others(tmp_path: Path, odd_folder: Path) -> None:
    pieces, wanted = cut(str(odd_folder), str(tmp_path / "pieces"))
    write(pieces, wanted, pieces.missing())
    assert cut(str(odd_folder), str(tmp_path / "pieces"))[0].missing() == []
    Image.new("RGB", (9, 9)).save(odd_folder / "new.png")
    other, _ = cut(str(odd_folder), str(tmp_path / "pieces"))
    assert other.missing() == list(range(len(other)))
    assert len(cut(str(odd_folder), str(tmp_path / "pieces"), channels=1)[0]) == 2


def test_a_piece_that_is_broken_or_gone_is_one_line(tmp_path: Path, odd_folder: Path) -> None:
    pieces, wanted = cut(str(odd_folder), str(tmp_path / "pieces"))
    write(pieces, wanted, pieces.missing())
    folder = Path(pieces.folder.root)
    rows = bytearray((folder / "00002.rows").read_bytes())
    rows[3] ^= 1
    (folder / "00002.rows").write_bytes(rows)
    with pytest.raises(InputError, match=r"^out: piece .*/00002.rows is not what was written; delete it and its .json"):
        assemble(pieces, wanted, tmp_path / "store")
    (folder / "00002.rows").unlink()
    with pytest.raises(InputError, match=r"^out: .* cannot be read or written \("):
        assemble(pieces, wanted, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_piece_counts_once_its_last_file_is_there(
    tmp_path: Path, odd_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces, wanted = cut(str(odd_folder), str(tmp_path / "pieces"))
    whole = RemoteFolder.write

    def fail(self: RemoteFolder, name: str, content: bytes) -> None:
        if name.endswith(".json"):
            raise OSError("the disk is gone")
        whole(self, name, content)

    with monkeypatch.context() as patch:
        patch.setattr(RemoteFolder, "write", fail)
        with pytest.raises(InputError, match="the disk is gone"):
            write(pieces, wanted, [0])
    assert 0 in pieces.missing()
    write(pieces, wanted, [0])
    assert 0 not in pieces.missing()
    about = json.loads((Path(pieces.folder.root) / "00000.json").read_text())
    assert len(about["names"]) + len(about["skipped"]) == 7


def test_a_large_part_is_packed_into_a_folder_that_is_not_there_yet(
    tmp_path: Path, odd_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BYTES_HERE", 7 * 3 * SIZE * SIZE)
    part, origin = PackRequest(spec=str(odd_folder), image_size=SIZE).chosen()
    path = tmp_path / "run" / "packed" / "store"
    store = write_part_on(path, part, origin, SIZE)
    assert store.path == path
    assert len(store) + len(store.header["skipped"]) >= len(part)


def test_packing_that_was_interrupted_goes_on_where_it_was(
    tmp_path: Path, odd_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BYTES_HERE", 7 * 3 * SIZE * SIZE)
    part, origin = PackRequest(spec=str(odd_folder), image_size=SIZE).chosen()
    path, told = tmp_path / "store", list[tuple[int, int | None]]()

    def interrupt(done: int, total: int | None) -> None:
        told.append((done, total))
        if done == 17:  # in the third piece
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_part_on(path, part, origin, SIZE, interrupt)
    assert not path.exists()
    assert told == [(i, len(part)) for i in range(1, 18)]

    told.clear()
    part, _ = PackRequest(spec=str(odd_folder), image_size=SIZE).chosen()
    store = write_part_on(path, part, origin, SIZE, lambda done, total: told.append((done, total)))
    assert told == [(i, len(part)) for i in range(15, len(part) + 1)]
    alone = write_part(tmp_path / "alone", PackRequest(spec=str(odd_folder), image_size=SIZE).chosen()[0], origin)
    assert dict(store.header) == dict(alone.header)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"pool", "store", "alone", ".store.lock"}
    assert write_part_on(path, part, origin, SIZE, interrupt).header == store.header
