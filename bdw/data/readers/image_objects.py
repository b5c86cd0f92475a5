"""The images below an address (`s3://bucket/photos`), which stay there: each is read when it is decoded.

Nothing is read while they are listed, so a file whose name has no ending counts as an image until it is decoded.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import PurePosixPath

from bdw.data.instances import Skipped
from bdw.data.readers.image_files import COUNTED, Found, Parts, of_this_project, why_not_by_name, why_not_into
from bdw.storage.remote_folder import RemoteFile, RemoteFolder
from bdw.storage.retry import persistently

SECONDS_TO_LIST, SECONDS_TO_READ = 300.0, 60.0
"""For how long a storage that fails is asked again, for the list of all files and for each of them."""


class ImageObjects:
    """Image files below an address, as `readers.image_files.ImageFiles` has them."""

    threads: int | None = 32  # A request is mostly waiting.

    def __init__(self, address: str, option: str):
        """Raises `InputError`, which names the option, if the address cannot be understood."""
        self.where = address
        self._remote = RemoteFolder.at(address, field=option)
        self._files: dict[str, RemoteFile] = {}

    @property
    def identity(self) -> str:
        """The folder's place in its storage, without how the storage is reached."""
        return f"{self._remote.files.type_name}:{self._remote.root}"

    def found(self) -> Found:
        """What lies there, by the rules of `find_images` as far as names tell. `OSError` if the storage refuses."""
        listed = persistently(self._remote.listed, what=f"listing {self._remote.root}", seconds=SECONDS_TO_LIST)
        self._files = {file.name: file for file in listed}
        inside: dict[Parts, set[str]] = defaultdict(set)
        for name in self._files:
            *folders, own = PurePosixPath(name).parts
            for depth, part in enumerate([*folders, own]):
                inside[tuple(folders[:depth])].add(part)
        ours = {folder: what for folder, names in inside.items() if folder and (what := of_this_project(names))}
        found, counted = Found(), defaultdict[tuple[str, str], list[str]](list)
        for name in self._files:
            parts = PurePosixPath(name).parts
            closed = next((i for i in range(1, len(parts)) if parts[:i] in ours or why_not_into(parts[i - 1])), None)
            if closed is None:
                self._sort_in(parts, found, counted)
            elif parts[:closed] not in ours:
                folder = "/".join(parts[:closed]) + "/"
                same = counted[why_not_into(parts[closed - 1]), f"{parts[closed - 1]}/"]
                if folder not in same:
                    same.append(folder)
        found.unused += [Skipped("/".join(folder) + "/", what) for folder, what in ours.items()]
        return found.in_order(counted)

    def state(self, parts: Parts) -> tuple[int, int]:
        """As the storage listed it."""
        file = self._files["/".join(parts)]
        return file.size, file.modified

    def contents(self, parts: Parts) -> bytes:
        """All bytes of the file. `OSError` if the storage still fails after `SECONDS_TO_READ`."""
        name = "/".join(parts)

        def read() -> bytes | FileNotFoundError:
            try:
                return self._remote.read(name)
            except FileNotFoundError as error:  # It has gone since it was listed, and will not come back.
                return error

        contents = persistently(read, what=f"reading {name}", seconds=SECONDS_TO_READ)
        if isinstance(contents, FileNotFoundError):
            raise contents
        return contents

    @staticmethod
    def _sort_in(parts: Parts, found: Found, counted: dict[tuple[str, str], list[str]]) -> None:
        found.folders |= {parts[:depth] for depth in range(len(parts))}
        why = why_not_by_name(parts[-1])
        if why in COUNTED:
            counted[why, PurePosixPath(parts[-1]).suffix.lower()].append("/".join(parts))
        elif why:
            found.unused.append(Skipped("/".join(parts), why))
        else:
            found.files.append(parts)
