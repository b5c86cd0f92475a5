"""The packed store: round trip, what is refused, skipped images, and two writers at once."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bdw.data import PackedDataset, pack_arrays, write_packed
from bdw.data.instances import Instance, Skipped
from bdw.errors import InputError

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 3, 5, 4), dtype=np.uint8)


def instances() -> Iterator[Instance | Skipped]:
    for i, image in enumerate(IMAGES):
        yield Instance(f"image {i} ü", image, i % 3, i % 2, "useful" if i % 2 else "noise")
        if i == 4:
            yield Skipped("broken.jpg", "image file is truncated")


@pytest.fixture
def store(tmp_path: Path) -> PackedDataset:
    return write_packed(tmp_path / "store", instances(), classes=("a", "b", "c"), origin={"from": "here"})


def test_round_trip(store: PackedDataset) -> None:
    opened = PackedDataset.open(store.path, verify=True)
    np.testing.assert_array_equal(opened.images, IMAGES)
    np.testing.assert_array_equal(opened.labels, np.arange(12) % 3)
    assert opened.planted is not None
    assert opened.planted_kinds is not None
    np.testing.assert_array_equal(opened.planted, np.arange(12) % 2)
    assert opened.planted_kinds[:2].tolist() == ["noise", "useful"]
    assert opened.names[3] == "image 3 ü"
    assert opened.classes == ("a", "b", "c")
    assert opened.content_key == store.content_key
    assert opened.header["origin"] == {"from": "here"}
    assert (len(opened), opened.channels) == (12, 3)


def test_skipped_images_are_listed_and_leave_no_gap(store: PackedDataset) -> None:
    assert store.header["skipped"] == [{"name": "broken.jpg", "reason": "image file is truncated"}]
    assert store.header["count"] == len(store) == 12


def test_images_are_mapped_read_only(store: PackedDataset) -> None:
    assert isinstance(store.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        store.images[0] = 0


def test_travels_between_processes_as_a_path(store: PackedDataset) -> None:
    data = pickle.dumps(store)
    assert len(data) < 1000
    np.testing.assert_array_equal(pickle.loads(data).images, IMAGES)


def test_plain_images_have_no_tags(tmp_path: Path) -> None:
    store = pack_arrays(tmp_path / "plain", IMAGES)
    assert store.planted is None
    assert store.planted_kinds is None
    assert set(store.labels.tolist()) == {-1}
    assert store.names[1] == "00001"
    assert not (store.path / "planted.npy").exists()


def test_content_key_follows_the_contents(tmp_path: Path) -> None:
    same = [pack_arrays(tmp_path / str(i), IMAGES).content_key for i in range(2)]
    assert same[0] == same[1]
    others = [
        pack_arrays(tmp_path / "reversed", IMAGES[::-1]),
        pack_arrays(tmp_path / "labelled", IMAGES, labels=np.zeros(12, np.int64), classes=("a",)),
        pack_arrays(tmp_path / "named", IMAGES, names=[f"n{i}" for i in range(12)]),
        pack_arrays(tmp_path / "reshaped", IMAGES.reshape(12, 3, 4, 5)),
    ]
    assert len({same[0], *(store.content_key for store in others)}) == 5


def test_progress_counts_every_image(tmp_path: Path) -> None:
    calls: list[tuple[int, int | None]] = []
    write_packed(tmp_path / "store", instances(), total=13, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(i, 13) for i in range(1, 14)]


def _truncate(name: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        file = path / name
        file.write_bytes(file.read_bytes()[:-9])

    return damage


def _edit_header(**values: object) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        header = json.loads((path / "header.json").read_text())
        (path / "header.json").write_text(json.dumps(header | values))

    return damage


def _pickled_names(path: Path) -> None:
    np.save(path / "names.npy", np.array([{}] * 12, dtype=object), allow_pickle=True)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_truncate("images.npy"), "images.npy is truncated"),
        (_truncate("labels.npy"), "labels.npy is truncated"),
        (_truncate("header.json"), "header.json is not JSON"),
        (lambda path: (path / "names.npy").unlink(), "names.npy is missing"),
        (lambda path: (path / "header.json").unlink(), "no header.json"),
        (_pickled_names, "names.npy is truncated or not an array file"),
        (_edit_header(count=11), "header.json says"),
        (_edit_header(version=99), "format version 99"),
        (_edit_header(format="other"), "is not a packed data set"),
        (lambda path: (path / "header.json").write_text('{"format": "bdw-packed", "version": 1}'), "header.json lacks"),
        (lambda path: np.save(path / "labels.npy", np.zeros(3, np.int64)), "does not hold 12 values"),
    ],
)
def test_damage_is_one_clear_line(store: PackedDataset, damage: Callable[[Path], None], message: str) -> None:
    damage(store.path)
    with pytest.raises(InputError) as caught:
        PackedDataset.open(store.path)
    assert message in str(caught.value)
    assert str(store.path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "planted.npy", "names.npy"])
def test_verify_finds_a_flipped_bit(store: PackedDataset, name: str) -> None:
    data = bytearray((store.path / name).read_bytes())
    data[-4] ^= 1
    (store.path / name).write_bytes(data)
    PackedDataset.open(store.path)
    with pytest.raises(InputError, match="checksum"):
        PackedDataset.open(store.path, verify=True)


def test_nothing_decodable_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no image could be read; the first of 2: a\.png: not an image"):
        write_packed(tmp_path / "store", [Skipped("a.png", "not an image"), Skipped("b.png", "not an image")])
    assert list(tmp_path.iterdir()) == []


def test_a_failing_reader_leaves_nothing_behind(tmp_path: Path) -> None:
    def failing() -> Iterator[Instance]:
        yield Instance("a", IMAGES[0])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_packed(tmp_path / "store", failing())
    assert list(tmp_path.iterdir()) == []


def test_existing_contents_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(InputError, match="already exists"):
            pack_arrays(path, IMAGES)
    with pytest.raises(InputError, match="cannot be written"):
        pack_arrays(tmp_path / "notes.txt" / "store", IMAGES)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_programming_errors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not unique"):
        pack_arrays(tmp_path / "a", IMAGES, names=["same"] * 12)
    with pytest.raises(ValueError, match="instead of uint8"):
        write_packed(tmp_path / "b", [Instance("a", IMAGES[0]), Instance("b", IMAGES[1][:, :2])])
    with pytest.raises(ValueError, match="without planted"):
        pack_arrays(tmp_path / "c", IMAGES, kinds=["x"] * 12)


def test_the_second_writer_takes_the_first_ones_store(tmp_path: Path) -> None:
    path = tmp_path / "store"

    def overtaken() -> Iterator[Instance | Skipped]:
        yield from instances()
        write_packed(path, instances())

    store = write_packed(path, overtaken())
    assert [p.name for p in tmp_path.iterdir()] == ["store"]
    np.testing.assert_array_equal(store.images, IMAGES)


def test_the_second_writer_refuses_other_contents(tmp_path: Path) -> None:
    path = tmp_path / "store"

    def overtaken() -> Iterator[Instance | Skipped]:
        yield from instances()
        pack_arrays(path, IMAGES[:3])

    with pytest.raises(InputError, match="cannot be written"):
        write_packed(path, overtaken())
    assert len(PackedDataset.open(path, verify=True)) == 3


def test_two_processes_pack_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from bdw.config import DataConfig; from bdw.data import load\n"
        "sys.stdin.readline(); print(load(DataConfig(max_source=300), Path(sys.argv[1])).source.path)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    root = Path(__file__).resolve().parents[2]
    workers = [
        subprocess.Popen(command, cwd=root, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)
    ]
    for worker in workers:  # Both are told to go before either is waited for.
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    paths = {worker.communicate(timeout=120)[0].strip() for worker in workers}
    assert [worker.returncode for worker in workers] == [0, 0]
    assert len(paths) == 1
    assert len(PackedDataset.open(paths.pop(), verify=True)) == 300
    assert not [p for p in (tmp_path / "packed").iterdir() if p.name.startswith(".")]
