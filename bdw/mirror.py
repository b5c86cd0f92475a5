"""A run directory's copy in a storage that outlives the machine: a folder, s3:// or gs://, through pyarrow.

A checkpoint counts only once its marker is there, which is written last, so that a machine that dies while it copies
leaves nothing that could be taken for a checkpoint.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pyarrow import ArrowException, fs

from bdw.atomic import replacing
from bdw.errors import InputError

CHECKPOINTS = "checkpoints"
COMPLETE = "complete"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Mirror:
    """The copy of one folder."""

    files: fs.FileSystem
    root: str

    @classmethod
    def at(cls, uri: str) -> Mirror:
        """The copy at `s3://bucket/path`, `gs://bucket/path`, `file:///path` or a plain path.

        Raises `InputError` if the address cannot be understood.
        """
        try:
            files, root = fs.FileSystem.from_uri(uri if "://" in uri else Path(uri).absolute().as_uri())
        except (ArrowException, ValueError, OSError) as error:
            raise InputError(f"storage_path: {uri!r} cannot be used: {_first_line(error)}") from error
        return cls(files, root.rstrip("/"))

    def under(self, name: str) -> Mirror:
        """The copy of a sub-folder."""
        return Mirror(self.files, f"{self.root}/{name}")

    def require_writable(self) -> None:
        """Write and delete an empty file. Raises `InputError` if the storage does not let us."""
        try:
            self._write(".writable", b"")
            self.files.delete_file(f"{self.root}/.writable")
        except (ArrowException, OSError) as error:
            raise InputError(f"storage_path: cannot write to {self.root}: {_first_line(error)}") from error

    def size_of(self, name: str) -> int:
        """Bytes of a file of the copy; -1 if there is none."""
        info = self.files.get_file_info(f"{self.root}/{name}")
        return int(info.size) if info.type == fs.FileType.File else -1

    def push_files(self, folder: Path) -> None:
        """Copy the files that lie directly in a folder; hidden ones and sub-folders stay."""
        for path in sorted(folder.iterdir()):
            if path.is_file() and not path.name.startswith("."):
                self._push(path, path.name)

    def pull_files(self, folder: Path) -> None:
        """Copy the files that lie directly in the copy into a folder."""
        for info in self.files.get_file_info(fs.FileSelector(self.root, allow_not_found=True)):
            if info.type == fs.FileType.File:
                self._pull(info.base_name, folder / info.base_name)

    def push_run(self, run_dir: Path) -> None:
        """Copy a run between two epochs: its own files, then its newest checkpoint, which replaces older ones there.

        The checkpoint comes last, because whoever pulls takes it as the sign that the rest is there.
        """
        self.push_files(run_dir)
        local, there = _newest(_epochs_in(run_dir)), self._complete_checkpoints()
        if local is not None and local not in there:
            for path in sorted((run_dir / CHECKPOINTS / local).iterdir()):
                self._push(path, f"{CHECKPOINTS}/{local}/{path.name}")
            self._write(f"{CHECKPOINTS}/{local}/{COMPLETE}", b"")
            for name in there:
                self.files.delete_dir(f"{self.root}/{CHECKPOINTS}/{name}")

    def pull_run(self, run_dir: Path) -> None:
        """Bring a run back, if the copy is further than what this machine has: its files and its newest checkpoint."""
        there = _newest(self._complete_checkpoints())
        if there is None or there <= (_newest(_epochs_in(run_dir)) or ""):
            return
        self.pull_files(run_dir)
        selector = fs.FileSelector(f"{self.root}/{CHECKPOINTS}/{there}")
        with replacing(run_dir / CHECKPOINTS / there) as unfinished:
            for info in self.files.get_file_info(selector):
                if info.base_name != COMPLETE:
                    self._pull(f"{CHECKPOINTS}/{there}/{info.base_name}", unfinished / info.base_name)

    def _complete_checkpoints(self) -> list[str]:
        selector = fs.FileSelector(f"{self.root}/{CHECKPOINTS}", recursive=True, allow_not_found=True)
        paths = [info.path for info in self.files.get_file_info(selector) if info.base_name == COMPLETE]
        return [path.split("/")[-2] for path in paths]

    def _push(self, path: Path, name: str) -> None:
        destination = f"{self.root}/{name}"
        self.files.create_dir(destination.rpartition("/")[0], recursive=True)
        with path.open("rb") as file, self.files.open_output_stream(destination) as stream:
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
        destination = f"{self.root}/{name}"
        self.files.create_dir(destination.rpartition("/")[0], recursive=True)
        with self.files.open_output_stream(destination) as stream:
            stream.write(content)


def _epochs_in(run_dir: Path) -> list[str]:
    # Temporary folders of a checkpoint that is being written begin with a dot.
    return [path.name for path in (run_dir / CHECKPOINTS).glob("epoch_*") if re.fullmatch(r"epoch_\d+", path.name)]


def _newest(names: list[str]) -> str | None:
    return max(names, default=None)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
