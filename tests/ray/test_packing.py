"""`pack --num-workers`: processes of Ray decode pieces, and what they make is what one process makes."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from ray.exceptions import RayError

from bdw import cli
from bdw.data import PackedDataset, pack
from bdw.data import pieces as module
from bdw.data.pack_request import PackRequest
from bdw.data.pieces import Pieces
from bdw.errors import InputError, RunError
from bdw.ray import packing
from bdw.ray.cluster import Cluster
from bdw.storage.remote_folder import RemoteFolder, below

SIZE = 8

# Ray Data warns of its own settings when it makes them.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path / "pool"
    folder.mkdir()
    for i in range(50):
        Image.fromarray(rng.integers(0, 256, (9, 11, 3), dtype=np.uint8)).save(folder / f"{i:03d}.png")
    (folder / "030.png").write_text("no image")
    return folder


@pytest.fixture
def on_local_ray(local_ray: None, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def running_ray(*, worker_groups: bool) -> Iterator[Cluster]:
        yield Cluster(cpus=4.0, gpus=0.0, has_driver_resource=True, is_ours=True)

    monkeypatch.setattr(packing, "running_ray", running_ray)


@pytest.mark.long
@pytest.mark.usefixtures("on_local_ray")
def test_a_bucket_is_packed_by_several_processes(
    tmp_path: Path, pool: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Ray's processes started before any test could give them credentials, so no object store.
    storage = f"file://{tmp_path}/storage"
    monkeypatch.setattr("bdw.commands.pack.CACHE", str(tmp_path / "cache"))
    remote = RemoteFolder.at(below(storage, "photos"))
    for path in pool.iterdir():
        remote.push(path, path.name)
    alone = pack(str(pool), tmp_path / "alone", SIZE)
    arguments = ["pack", below(storage, "photos"), below(storage, "pool"), "--image-size", str(SIZE)]
    assert cli.main([*arguments, "--num-workers", "2"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("packed  49 images (0 labelled) of 3 x 8 x 8")
    assert "skipped 030.png: not an image in a known format" in said
    there = RemoteFolder.at(below(storage, "pool"))
    assert [file.name for file in there.listed()] == ["header.json", "images.npy", "labels.npy", "names.npy"]
    there.pull_files(tmp_path / "fetched")
    assert PackedDataset.open(tmp_path / "fetched", verify=True).content_key == alone.content_key
    # To a folder as well.
    arguments[2] = str(tmp_path / "here")
    assert cli.main([*arguments, "--num-workers", "2"]) == 0
    assert PackedDataset.open(tmp_path / "here").content_key == alone.content_key
    assert not list(tmp_path.glob(".here*"))


def test_pieces_that_are_there_are_not_made_again(tmp_path: Path, pool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BYTES", 10 * 3 * SIZE * SIZE)
    request = PackRequest(spec=str(pool), image_size=SIZE)
    part, origin = request.chosen()
    pieces = Pieces.of(part, origin, SIZE, RemoteFolder.at(str(tmp_path / "pieces")))
    for number in pieces.missing():
        pieces.write(part, number)
    # No Ray is started when nothing is left to do.
    monkeypatch.setattr(packing, "running_ray", lambda **options: pytest.fail("started Ray"))
    store = packing.pack_on_workers(request, tmp_path / "store", pieces_at=str(tmp_path / "pieces"), num_workers=2)
    assert store.content_key == pack(str(pool), tmp_path / "alone", SIZE).content_key
    assert not (tmp_path / "pieces").exists()


def test_a_process_says_why_it_cannot_work(tmp_path: Path, pool: Path) -> None:
    request = PackRequest(spec=str(pool), image_size=SIZE)
    part, origin = request.chosen()
    pieces = Pieces.of(part, origin, SIZE, RemoteFolder.at(str(tmp_path / "pieces")))

    def said() -> str:
        writer = packing.PieceWriter(
            dataclasses.asdict(request), str(tmp_path / "pieces"), "/nowhere", pieces.folder.root
        )
        return str(writer({"id": 0})["input_error"])

    writer = packing.PieceWriter(dataclasses.asdict(request), str(tmp_path / "pieces"), ".", pieces.folder.root)
    assert writer({"id": 0}) == {"images": 50}
    Image.new("RGB", (9, 9)).save(pool / "new.png")
    assert said().startswith(f"spec: '{pool}' is not the same on all machines, or has changed while it was packed")
    shutil.rmtree(pool)
    allowed = "an image folder, a packed data set, an .npz, .parquet or .tar file"
    assert said() == f"source: '{pool}' does not exist; allowed: {allowed}"


def test_more_processes_than_this_machine_has_are_refused(
    tmp_path: Path, pool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def running_ray(*, worker_groups: bool) -> Iterator[Cluster]:
        yield Cluster(cpus=2.0, gpus=0.0, has_driver_resource=True, is_ours=True)

    monkeypatch.setattr(packing, "running_ray", running_ray)
    with pytest.raises(InputError, match=r"^num_workers: 3 is more than the 2 CPUs here; allowed: no more$"):
        packing.pack_on_workers(
            PackRequest(spec=str(pool), image_size=SIZE),
            tmp_path / "store",
            pieces_at=str(tmp_path / "pieces"),
            num_workers=3,
        )


def test_a_ray_that_gives_up_is_one_line_and_keeps_the_pieces(
    tmp_path: Path, pool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BYTES", 10 * 3 * SIZE * SIZE)

    @contextlib.contextmanager
    def running_ray(*, worker_groups: bool) -> Iterator[Cluster]:
        yield Cluster(cpus=2.0, gpus=0.0, has_driver_resource=True, is_ours=True)

    def one_piece(request: PackRequest, place: str, pieces: Pieces, missing: list[int], workers: int) -> Iterator[Any]:
        part, _ = request.chosen()
        yield {"images": pieces.write(part, missing[0])}
        raise RayError("a long story\nthe machine is gone")

    monkeypatch.setattr(packing, "running_ray", running_ray)
    monkeypatch.setattr(packing, "_written", one_piece)
    request = PackRequest(spec=str(pool), image_size=SIZE)
    seen: list[tuple[int, int | None]] = []
    with pytest.raises(RunError, match=r"^packing failed \(the machine is gone\); the same command continues where it"):
        packing.pack_on_workers(
            request,
            tmp_path / "store",
            pieces_at=str(tmp_path / "pieces"),
            num_workers=2,
            decoded=lambda *progress: seen.append(progress),
        )
    assert seen == [(10, 50)]
    part, origin = request.chosen()
    assert Pieces.of(part, origin, SIZE, RemoteFolder.at(str(tmp_path / "pieces"))).missing() == [1, 2, 3, 4]


def test_no_processes_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["pack", "digits", str(tmp_path / "out"), "--num-workers", "0"]) == 2
    assert capsys.readouterr().err == (
        "error: num_workers: 0 cannot work; allowed: at least 1, or none for this process alone\n"
    )
