"""A run directory's copy in a storage that outlives the machine: a folder, s3:// or gs://, through pyarrow.

A checkpoint counts once its marker is there. The marker is written last, so that a machine that dies while copying
leaves nothing that could be taken for a checkpoint.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyarrow import ArrowException, fs

from bdw.errors import InputError
from bdw.runs import checkpoint
from bdw.runs.trajectory import FOLDER as TRAJECTORY
from bdw.runs.trajectory import Trajectory
from bdw.storage.atomic_write import replacing

CHECKPOINTS = "checkpoints"
COMPLETE = "complete"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class RemoteFolder:
    """The copy of one folder."""

    files: fs.FileSystem
    root: str

    @classmethod
    def at(cls, uri: str) -> RemoteFolder:
        """The copy at `s3://bucket/path`, `gs://bucket/path`, `file:///path` or a plain path.

        Raises `InputError` if the address cannot be understood.
        """
        address = absolute(uri)
        try:
            files, root = fs.FileSystem.from_uri(address if "://" in address else Path(address).as_uri())
        except (ArrowException, ValueError, OSError) as error:
            raise InputError(f"storage_path: {uri!r} cannot be used: {_first_line(error)}") from error
        return cls(files, root.rstrip("/"))

    def under(self, name: str) -> RemoteFolder:
        """The copy of a sub-folder."""
        return RemoteFolder(self.files, f"{self.root}/{name}")

    def require_apart_from(self, folder: Path) -> None:
        """`InputError` if the copy would lie in the original folder, or the other way round: each would take the
        other's files for its own."""
        if not isinstance(self.files, fs.LocalFileSystem):
            return
        copy, original = Path(self.root).resolve(), folder.resolve()
        if copy.is_relative_to(original) or original.is_relative_to(copy):
            raise InputError(
                f"storage_path: {copy} and the run's own folder {original} lie in each other; allowed: a folder apart"
            )

    def require_writable(self) -> None:
        """Write and delete an empty file. Raises `InputError` if the storage refuses."""
        try:
            self._write(".writable", b"")
            self.files.delete_file(f"{self.root}/.writable")
        except (ArrowException, OSError) as error:
            raise InputError(f"storage_path: cannot write to {self.root}: {_first_line(error)}") from error

    def size_of(self, name: str) -> int:
        """Size in bytes of a file of the copy; -1 if there is no such file."""
        info = self.files.get_file_info(f"{self.root}/{name}")
        return int(info.size) if info.type == fs.FileType.File else -1

    def read_text(self, name: str) -> str | None:
        """The contents of a file of the copy; None if there is no such file."""
        if self.size_of(name) < 0:
            return None
        with self.files.open_input_stream(f"{self.root}/{name}") as stream:
            return bytes(stream.read()).decode("utf-8")

    def write_text(self, name: str, text: str) -> None:
        """Write the contents into a file of the copy. Raises `OSError` if the storage refuses."""
        self._write(name, text.encode("utf-8"))

    def push_files(self, folder: Path) -> None:
        """Copy the files that lie directly in a folder; hidden ones and sub-folders stay."""
        for path in sorted(folder.iterdir()):
            if path.is_file() and not path.name.startswith("."):
                self._push(path, path.name)

    def pull_files(self, folder: Path) -> None:
        """Copy the files that lie directly in the copy into a folder; hidden ones stay."""
        for info in self.files.get_file_info(fs.FileSelector(self.root, allow_not_found=True)):
            if info.type == fs.FileType.File and not info.base_name.startswith("."):
                self._pull(info.base_name, folder / info.base_name)

    def push_run(self, run_dir: Path, *, best_epoch: int | None = None) -> None:
        """Copy a run: its own files, then its newest checkpoint. Older checkpoints of the copy are deleted, but for the
        best epoch's.

        The checkpoint comes last: for whoever pulls, it is the sign that the rest is there.
        """
        self.push_files(run_dir)
        here, listed = checkpoint.positions(run_dir / CHECKPOINTS), self._listed()
        there = _complete(listed)
        if here and here[-1] not in there:
            newest = here[-1].name
            self._push_trajectory(run_dir, after=there[-1].epochs if there else 0, until=here[-1].epochs)
            for path in sorted((run_dir / CHECKPOINTS / newest).iterdir()):
                self._push(path, f"{CHECKPOINTS}/{newest}/{path.name}")
            self._write(f"{CHECKPOINTS}/{newest}/{COMPLETE}", b"")
            half_copied = [position for position, complete in listed.items() if position < here[-1] and not complete]
            superseded = checkpoint.superseded([*there, here[-1]], keep=1, best_epoch=best_epoch)
            for old in [*half_copied, *superseded]:
                self.files.delete_dir(f"{self.root}/{CHECKPOINTS}/{old.name}")

    def pull_run(self, run_dir: Path) -> None:
        """Bring a run back, if the copy is further than what this machine has: its files and its newest checkpoint."""
        here, there = checkpoint.positions(run_dir / CHECKPOINTS), self.checkpoints()
        if not there or (here and here[-1] >= there[-1]):
            return
        self.pull_files(run_dir)
        self.under(TRAJECTORY).pull_files(run_dir / TRAJECTORY)
        newest = there[-1].name
        selector = fs.FileSelector(f"{self.root}/{CHECKPOINTS}/{newest}")
        with replacing(run_dir / CHECKPOINTS / newest) as unfinished:
            for info in self.files.get_file_info(selector):
                if info.base_name != COMPLETE and not info.base_name.startswith("."):
                    self._pull(f"{CHECKPOINTS}/{newest}/{info.base_name}", unfinished / info.base_name)

    def checkpoints(self) -> list[checkpoint.Position]:
        """Positions of the copy's complete checkpoints, the newest last."""
        return _complete(self._listed())

    def _listed(self) -> dict[checkpoint.Position, bool]:
        """Every checkpoint of the copy, and whether it is complete."""
        root = f"{self.root}/{CHECKPOINTS}"
        found: dict[checkpoint.Position, bool] = {}
        for info in self.files.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True)):
            position = checkpoint.Position.of(info.path.removeprefix(f"{root}/").split("/")[0])
            if position is not None:
                found[position] = found.get(position, False) or info.base_name == COMPLETE
        return found

    def _push_trajectory(self, run_dir: Path, *, after: int, until: int) -> None:
        """Copy the recorded epochs between two checkpoints, so that each travels once."""
        recorded = Trajectory(run_dir / TRAJECTORY)
        for epoch in recorded.epochs():
            if after < epoch <= until:
                self._push(recorded.path(epoch), f"{TRAJECTORY}/{recorded.path(epoch).name}")

    def _push(self, path: Path, name: str) -> None:
        with path.open("rb") as file, self._replacing(name) as stream:
            while chunk := file.read(_CHUNK):
                stream.write(chunk)

    def _pull(self, name: str, destination: Path) -> None:
        with (
            self.files.open_input_stream(f"{self.root}/{name}") as stream,
            replacing(destination) as unfinished,
            unfinished.open("wb") as file,
        ):
            while chunk := stream.read(_CHUNK):
                file.write(chunk)

    def _write(self, name: str, content: bytes) -> None:
        with self._replacing(name) as stream:
            stream.write(content)

    @contextmanager
    def _replacing(self, name: str) -> Iterator[Any]:
        """A stream into a file of the copy, which keeps its old contents until the new ones are whole."""
        folder, _, base_name = f"{self.root}/{name}".rpartition("/")
        self.files.create_dir(folder, recursive=True)
        if not isinstance(self.files, fs.LocalFileSystem):
            # An object appears only when all of it was sent, and renaming one would copy it.
            with self.files.open_output_stream(f"{folder}/{base_name}") as stream:
                yield stream
            return
        # Several processes may write the same file: each under a name of its own, and the last one's stays.
        temporary = f"{folder}/.{base_name}.{uuid.uuid4().hex[:8]}.tmp"
        try:
            with self.files.open_output_stream(temporary) as stream:
                yield stream
            self.files.move(temporary, f"{folder}/{base_name}")
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def below(address: str, name: str) -> str:
    """The address of a sub-folder; the part from a `?` on (an S3 server's own endpoint, say) stays at the end."""
    path, mark, options = address.partition("?")
    return f"{path.rstrip('/')}/{name}{mark}{options}"


def absolute(address: str) -> str:
    """The address as it is understood on every machine: a path made absolute, with `~` for the user's home."""
    return address if "://" in address else str(Path(address).expanduser().absolute())


def _complete(listed: dict[checkpoint.Position, bool]) -> list[checkpoint.Position]:
    return sorted(position for position, complete in listed.items() if complete)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
