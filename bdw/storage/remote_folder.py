"""A folder in a storage that outlives the machine: a plain folder, s3:// or gs://, through pyarrow."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pyarrow import ArrowException, fs

from bdw.errors import InputError
from bdw.storage.atomic_write import replacing
from bdw.storage.retry import persistently

_CHUNK = 1 << 20
OBJECT_STORES = ("s3", "gcs")
"""File systems, by pyarrow's names, whose folders are nothing but the beginnings of names."""


DELAYED = "allow_delayed_open"
"""Option of pyarrow's S3 file system: a small file is sent in one request in the place of three."""
FIRST_PAUSE, SECONDS_OF_A_CALL = 0.1, 5.0
"""An object store refuses a call now and then. Such a call is made again after pauses of 0.1, 0.2, 0.4 s ..., for so
many seconds; what fails for longer is its caller's to wait out."""
FINAL = (
    *("ACCESS_DENIED", "NO_SUCH_BUCKET", "NO_SUCH_KEY", "RESOURCE_NOT_FOUND", "INVALID_ACCESS_KEY_ID"),
    *("SIGNATURE_DOES_NOT_MATCH", "INVALID_CLIENT_TOKEN_ID", "INVALID_SIGNATURE", "EXPIRED_TOKEN"),
)
"""Words of pyarrow's errors that a further call would repeat."""

T = TypeVar("T")


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
        if address.startswith("s3://") and DELAYED not in address:
            address += f"{'&' if '?' in address else '?'}{DELAYED}=true"
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
            self.delete_file(".writable")
        except (ArrowException, OSError) as error:
            raise InputError(f"{field}: cannot write to {self.root}: {_first_line(error)}") from error

    def listed(self) -> list[RemoteFile]:
        """All files at any depth, sorted by name; none if there is no such folder. Raises `OSError` if the storage
        refuses."""
        found = self.entries(recursive=True)
        return sorted(
            RemoteFile(info.path[len(self.root) + 1 :], int(info.size), int(info.mtime_ns or 0))
            for info in found
            if info.type == fs.FileType.File
        )

    def names_beginning(self, start: str) -> list[RemoteFile]:
        """The files that lie directly in the folder and whose names begin so, sorted; none if there is no folder."""
        found = self.entries()
        return sorted(
            RemoteFile(info.base_name, int(info.size), int(info.mtime_ns or 0))
            for info in found
            if info.type == fs.FileType.File and info.base_name.startswith(start)
        )

    def delete(self) -> None:
        """Delete the folder, and the one above it if nothing else is in that. `OSError` if the storage refuses."""
        self.files.delete_dir(self.root)
        above = RemoteFolder(self.files, self.root.rpartition("/")[0])
        if self.files.get_file_info(above.root).type == fs.FileType.Directory and not above.listed():
            self.files.delete_dir(above.root)

    def read(self, name: str) -> bytes:
        """The contents of a file of the copy. Raises `OSError` if there is no such file or the storage refuses."""

        def contents() -> bytes:
            with self.files.open_input_stream(f"{self.root}/{name}") as stream:
                return bytes(stream.read())

        return self._called(contents)

    def size_of(self, name: str) -> int:
        """Size in bytes of a file of the copy; -1 if there is no such file."""
        info = self._called(lambda: self.files.get_file_info(f"{self.root}/{name}"))
        return int(info.size) if info.type == fs.FileType.File else -1

    def read_text(self, name: str) -> str | None:
        """The contents of a file of the copy; None if there is no such file."""
        return None if self.size_of(name) < 0 else self.read(name).decode("utf-8")

    def write_text(self, name: str, text: str) -> None:
        """Write the contents into a file of the copy. Raises `OSError` if the storage refuses."""
        self.write(name, text.encode("utf-8"))

    def push_files(self, folder: Path, *, seconds: float = 0.0, sent: dict[str, tuple[int, int]] | None = None) -> None:
        """Copy the files that lie directly in a folder; hidden ones and sub-folders stay.

        `sent` has the size and the time (ns) of files that were copied before; those that are as they were stay, and
        what is copied is entered. One that fails keeps no other back. Raises `OSError` if some still fail after further
        tries for so many seconds.
        """
        sent = {} if sent is None else sent
        there = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
        left = [path for path in there if sent.get(path.name) != _stamp(path)]

        def push_left() -> None:
            failures = []
            for path in [*left]:
                try:
                    stamp = _stamp(path)
                    self.push(path, path.name)
                    sent[path.name] = stamp
                    left.remove(path)
                except (ArrowException, OSError) as error:
                    failures.append(error)
            if failures:
                raise OSError(f"{len(left)} file(s), {left[0].name} first: {_first_line(failures[0])}") from failures[0]

        persistently(push_left, what=f"copying {folder.name} to {self.root}", seconds=seconds)

    def pull_files(self, folder: Path) -> None:
        """Copy the files that lie directly in the copy into a folder; hidden ones stay."""
        for info in self.entries():
            if info.type == fs.FileType.File and not info.base_name.startswith("."):
                self.pull(info.base_name, folder / info.base_name)

    def entries(self, name: str = "", *, recursive: bool = False) -> list[fs.FileInfo]:
        """What lies in a sub-folder of the copy, or in all of it; [] if there is no such folder."""
        root = f"{self.root}/{name}" if name else self.root
        selector = fs.FileSelector(root, recursive=recursive, allow_not_found=True)
        found: list[fs.FileInfo] = self._called(lambda: self.files.get_file_info(selector))
        return found

    def delete_folder(self, name: str) -> None:
        """Delete a sub-folder of the copy with all that is in it."""
        self._called(lambda: self.files.delete_dir(f"{self.root}/{name}"))

    def delete_file(self, name: str) -> None:
        """Delete a file of the copy. Raises `FileNotFoundError` if there is none."""
        self._called(lambda: self.files.delete_file(f"{self.root}/{name}"))

    def push(self, path: Path, name: str) -> None:
        """Copy a file there under that name; the old one stays until the new one is whole."""

        def copy() -> None:
            with path.open("rb") as file, self._replacing(name) as stream:
                while chunk := file.read(_CHUNK):
                    stream.write(chunk)

        self._called(copy)

    def pull(self, name: str, destination: Path) -> None:
        """Copy a file from there; a reader sees all of it or what was there before."""

        def copy() -> None:
            with (
                self.files.open_input_stream(f"{self.root}/{name}") as stream,
                replacing(destination) as unfinished,
                unfinished.open("wb") as file,
            ):
                while chunk := stream.read(_CHUNK):
                    file.write(chunk)

        self._called(copy)

    def write(self, name: str, content: bytes) -> None:
        """Put these bytes into a file of the copy."""

        def put() -> None:
            with self._replacing(name) as stream:
                stream.write(content)

        self._called(put)

    def _called(self, call: Callable[[], T]) -> T:
        """What the call returns; of an object store, after a few more attempts where it refuses."""
        began, pause = time.monotonic(), FIRST_PAUSE
        while True:
            try:
                return call()
            except OSError as error:
                is_final = any(word in str(error) for word in FINAL) or isinstance(error, FileNotFoundError)
                is_late = time.monotonic() - began + pause > SECONDS_OF_A_CALL
                if self.files.type_name not in OBJECT_STORES or is_final or is_late:
                    raise
                time.sleep(pause)
                pause *= 2

    @contextmanager
    def _replacing(self, name: str) -> Iterator[Any]:
        """A stream into a file of the copy, which keeps its old contents until the new ones are whole."""
        folder, _, base_name = f"{self.root}/{name}".rpartition("/")
        if self.files.type_name not in OBJECT_STORES:
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


def _stamp(path: Path) -> tuple[int, int]:
    """Size in bytes, and time of the last change in nanoseconds."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns


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
