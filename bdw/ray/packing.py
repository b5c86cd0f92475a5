"""`pack --num-workers`: Ray Data deals the pieces of a large pool out to processes on all machines."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
import ray.data
import ray.exceptions

from bdw.data.instances import Part
from bdw.data.pack_request import PackRequest
from bdw.data.packed import PackedDataset
from bdw.data.packing import Progress
from bdw.data.pieces import Pieces
from bdw.errors import InputError, RunError
from bdw.parallel.stop_requests import terminations
from bdw.ray.cluster import Cluster, running_ray
from bdw.storage.remote_folder import RemoteFolder

Row = dict[str, Any]


def pack_on_workers(
    request: PackRequest,
    path: Path,
    *,
    pieces_at: str,
    num_workers: int,
    decoded: Progress | None = None,
    assembled: Progress | None = None,
) -> PackedDataset:
    """Pack into the new folder `path` of this machine and return the store open; the same that one process would write.

    `num_workers` processes, of a CPU each, decode pieces and keep them at `pieces_at`, an address or a folder that all
    machines see. Pieces that an earlier attempt has left there are not made again; at the end all are deleted.
    Raises `InputError` for what cannot work, `RunError` if Ray gives up.
    """
    part, origin = request.chosen()
    pieces = Pieces.of(part, origin, request.image_size, RemoteFolder.at(pieces_at, field="out"))
    missing = pieces.missing()
    done = pieces.count - pieces.images(missing)
    if missing:
        # Ray takes SIGTERM for itself when it starts, so ours comes after it.
        with running_ray(worker_groups=False) as cluster, terminations():
            _require_room(cluster, num_workers)
            try:
                for row in _written(request, pieces_at, pieces, missing, min(num_workers, len(missing))):
                    if "input_error" in row:
                        raise InputError(row["input_error"])
                    done += int(row["images"])
                    if decoded is not None:
                        decoded(done, pieces.count)
            except ray.exceptions.RayError as error:
                reason = str(error).strip().rpartition("\n")[2]
                raise RunError(f"packing failed ({reason}); the same command continues where it was") from error
    store = pieces.assemble(path, classes=part.classes, unused=part.unused, origin=origin, progress=assembled)
    pieces.delete()
    return store


class PieceWriter:
    """A process that has found the images once and decodes one piece after the other."""

    def __init__(self, request: Row, pieces_at: str, folder: str, expected: str):
        if Path(folder).is_dir():
            # Relative paths mean here what they meant where the pool was named.
            os.chdir(folder)
        self._error = ""
        try:
            wanted = PackRequest(**request)
            part, origin = wanted.chosen()
            # Machines differ in their processors, and each process has one.
            self._part: Part = dataclasses.replace(part, threads=part.threads or 1)
            self._pieces = Pieces.of(part, origin, wanted.image_size, RemoteFolder.at(pieces_at, field="out"))
            if self._pieces.folder.root != expected:
                self._error = (
                    f"spec: {wanted.spec!r} is not the same on all machines, or has changed while it was packed; "
                    "allowed: an address, or a folder that all machines see"
                )
        except InputError as error:
            self._error = str(error)

    def __call__(self, row: Row) -> Row:
        """Write the piece `row["id"]`; how many images it took, or why that cannot work."""
        if self._error:
            return {"input_error": self._error}
        try:
            return {"images": self._pieces.write(self._part, int(row["id"]))}
        except InputError as error:
            return {"input_error": str(error)}


def _written(request: PackRequest, pieces_at: str, pieces: Pieces, missing: list[int], num_workers: int) -> Any:
    """A row of each piece, as they get done."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    dealt = ray.data.from_items([{"id": number} for number in missing], override_num_blocks=len(missing))
    construct: Callable[..., Any] = PieceWriter
    return dealt.map(
        construct,
        fn_constructor_args=(dataclasses.asdict(request), pieces_at, str(Path.cwd()), pieces.folder.root),
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=num_workers),
    ).iter_rows()


def _require_room(cluster: Cluster, num_workers: int) -> None:
    if cluster.is_ours and cluster.room(1, 0) < num_workers:
        raise InputError(f"num_workers: {num_workers} is more than the {cluster.cpus:g} CPUs here; allowed: no more")
