"""Rows of a long benchmark, kept as they come, so that one that was cut off goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bdw.errors import InputError
from bdw.storage.atomic_write import write_text

Row = dict[str, Any]


class WorkingFile:
    """Rows of one benchmark under one set of settings, each under a key of its own."""

    def __init__(self, path: Path, settings: Mapping[str, Any], key: tuple[str, ...]) -> None:
        """Continue the file, or begin it.

        Args:
            path: of the file, whose folder is made if it is not there.
            settings: JSON values that all rows share.
            key: fields of a row that tell it from all others.

        Raises:
            InputError: the file was begun with other settings, or is none of ours.
        """
        self._path, self._key = path, key
        self._settings: dict[str, Any] = json.loads(json.dumps(dict(settings)))  # as written: lists for tuples
        self.rows: list[Row] = self._so_far() if path.is_file() else []
        path.parent.mkdir(parents=True, exist_ok=True)

    def find(self, **key: Any) -> Row | None:
        """The row of that key, or None."""
        return next((row for row in self.rows if all(row[name] == key[name] for name in self._key)), None)

    def add(self, row: Row) -> Row:
        """Keep a row, on disk before this returns, and give it back as it is read again."""
        [kept] = self.add_together([row])
        return kept

    def add_together(self, rows: Sequence[Row]) -> list[Row]:
        """The same of several rows, of which none is kept without the others."""
        kept: list[Row] = json.loads(json.dumps(list(rows)))
        self.rows += kept
        write_text(self._path, json.dumps({"settings": self._settings, "rows": self.rows}, indent=1) + "\n")
        return kept

    def _so_far(self) -> list[Row]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            before, rows = found["settings"], list(found["rows"])
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"folder: {str(self._path)!r} holds no rows of a benchmark; allowed: a new folder"
            ) from None
        differing = [name for name in self._settings if before.get(name) != self._settings[name]]
        if differing:
            raise InputError(
                f"folder: {str(self._path)!r} was begun with other settings ({', '.join(differing)}); allowed: the "
                "same settings, or another folder"
            )
        return rows
