"""A folder in a storage that outlives the machine: a plain folder, s3:// or gs://, through pyarrow."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyarrow import ArrowException, fs

from bdw.errors import InputError
from bdw.storage.atomic_write import replacing
from bdw.storage.retry import persistently

_CHUNK = 1 << 20


@dataclass(frozen=True, order=True)
class RemoteFile:
    """A file below a remote folder."""

    name: str
    """Relative to the folder, with slashes."""
    size: int
    """Bytes."""
    modified: int
    """When it was written last, in nanoseconds since 1970; 0 where the storage does not say."""


@dataclass(frozen=True)
class RemoteFolder:
    """The copy of one folder."""

    files: fs.FileSystem
    root: str

    @classmethod
    def at(cls, uri: str, *, field: str = "storage_path") -> RemoteFolder:
        """The copy at `s3://bucket/path`, `gs://bucket/path`, `file:///path` or a plain path.

        Raises `InputError`, which names the field, if the address cannot be understood.
        """
        address = absolute(uri)
        try:
            files, root = fs.FileSystem.from_uri(address if "://" in address else Path(address).as_uri())
        except (ArrowException, ValueError, OSError) as error:
            raise InputError(f"{field}: {uri!r} cannot be used: {_first_line(error)}") from error
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

    def require_writable(self, *, field: str = "storage_path") -> None:
        """Write and delete an empty file. Raises `InputError`, which names the field, if the storage refuses."""
        try:
            self.write(".writable", b"")
            self.files.delete_file(f"{self.root}/.writable")
        except (ArrowException, OSError) as error:
            raise InputError(f"{field}: cannot write to {self.root}: {_first_line(error)}") from error

    def listed(self) -> list[RemoteFile]:
        """All files at any depth, sorted by name; none if there is no such folder. Raises `OSError` if the storage
        refuses."""
        found = self.files.get_file_info(fs.FileSelector(self.root, recursive=True, allow_not_found=True))
        return sorted(
            RemoteFile(info.path[len(self.root) + 1 :], int(info.size), int(info.mtime_ns or 0))
            for info in found
            if info.type == fs.FileType.File
        )

    def names_beginning(self, start: str) -> list[RemoteFile]:
        """The files that lie directly in the folder and whose names begin so, sorted; none if there is no folder."""
        found = self.files.get_file_info(fs.FileSelector(self.root, allow_not_found=True))
        return sorted(
            RemoteFile(info.base_name, int(info.size), int(info.mtime_ns or 0))
            for info in found
            if info.type == fs.FileType.File and info.base_name.startswith(start)
        )

    def read(self, name: str) -> bytes:
        """The contents of a file of the copy. Raises `OSError` if there is no such file or the storage refuses."""
        with self.files.open_input_stream(f"{self.root}/{name}") as stream:
            return bytes(stream.read())

    def size_of(self, name: str) -> int:
        """Size in bytes of a file of the copy; -1 if there is no such file."""
        info = self.files.get_file_info(f"{self.root}/{name}")
        return int(info.size) if info.type == fs.FileType.File else -1

    def read_text(self, name: str) -> str | None:
        """The contents of a file of the copy; None if there is no such file."""
        return None if self.size_of(name) < 0 else self.read(name).decode("utf-8")

    def write_text(self, name: str, text: str) -> None:
        """Write the contents into a file of the copy. Raises `OSError` if the storage refuses."""
        self.write(name, text.encode("utf-8"))

    def push_files(self, folder: Path, *, seconds: float = 0.0) -> None:
        """Copy the files that lie directly in a folder; hidden ones and sub-folders stay.

        One that fails keeps no other back. Raises `OSError` if some still fail after further tries for so many seconds.
        """
        left = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))

        def push_left() -> None:
            failures = []
            for path in [*left]:
                try:
                    self.push(path, path.name)
                    left.remove(path)
                except (ArrowException, OSError) as error:
                    failures.append(error)
            if failures:
                raise OSError(f"{len(left)} file(s), {left[0].name} first: {_first_line(failures[0])}") from failures[0]

        persistently(push_left, what=f"copying {folder.name} to {self.root}", seconds=seconds)

    def pull_files(self, folder: Path) -> None:
        """Copy the files that lie directly in the copy into a folder; hidden ones stay."""
        for info in self.files.get_file_info(fs.FileSelector(self.root, allow_not_found=True)):
            if info.type == fs.FileType.File and not info.base_name.startswith("."):
                self.pull(info.base_name, folder / info.base_name)

    def push(self, path: Path, name: str) -> None:
        """Copy a file there under that name; the old one stays until the new one is whole."""
        with path.open("rb") as file, self._replacing(name) as stream:
            while chunk := file.read(_CHUNK):
                stream.write(chunk)

    def pull(self, name: str, destination: Path) -> None:
        """Copy a file from there; a reader sees all of it or what was there before."""
        with (
            self.files.open_input_stream(f"{self.root}/{name}") as stream,
            replacing(destination) as unfinished,
            unfinished.open("wb") as file,
        ):
            while chunk := stream.read(_CHUNK):
                file.write(chunk)

    def write(self, name: str, content: bytes) -> None:
        """Put these bytes into a file of the copy."""
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


def is_address(text: str) -> bool:
    """Whether it names a storage (`s3://bucket/path`) rather than a path of this machine."""
    return "://" in text


def absolute(address: str) -> str:
    """The address as it is understood on every machine: a path made absolute, with `~` for the user's home."""
    return address if "://" in address else str(Path(address).expanduser().absolute())


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
