"""A source of all classes of a data set and a target of a few of them, as data files that say no more than that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bdw.errors import InputError

SOURCE, TARGET = "source.npz", "target-train.npz"
"""Files to give to a run; the target's other splits lie beside, and are found by their names."""

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ClassSubsets:
    """Which images of an .npz file of encoded images serve for what."""

    file: Path
    chosen: Rows
    """Labels of the target's classes."""
    class_names: list[str]
    """Names of these classes."""
    labels: Rows
    """Labels of all images of the file."""
    source: Rows
    """Rows of the file, rising."""
    target: dict[str, Rows]
    """The same by split."""

    @classmethod
    def drawn(cls, file: Path, *, classes: int, source: int, splits: tuple[int, ...], seed: int) -> ClassSubsets:
        """So many images of every class for the source, and of some classes others for the target; no picture twice.

        Classes of seeds next to each other differ: seeds take turns in dealing out a permutation of all of them.

        Args:
            file: .npz with `data`, `offsets`, `labels` and `classes`, as `bdw.data.readers.npz` reads it.
            classes: of the target.
            source: images of each class.
            splits: images of each of the target's classes to train with, to validate and to test.
            seed: of what is drawn.

        Raises:
            InputError: no such file, or too few classes or images of one.
        """
        if not file.is_file():
            raise InputError(f"data_set: {str(file)!r} is not there; allowed: an .npz file of encoded images")
        with np.load(file, allow_pickle=False) as archive:
            labels, names = archive["labels"], archive["classes"]
            data, offsets = archive["data"], archive["offsets"]
        if not 2 <= classes <= len(names):
            raise InputError(f"classes: {classes!r} cannot work; allowed: 2 to {len(names)}, those of {file.name}")
        turn, deal = divmod(seed, len(names) // classes)
        chosen = np.random.default_rng([turn, len(names)]).permutation(len(names))[deal * classes :][:classes]
        first: dict[bytes, int] = {}
        for row in range(len(labels)):
            first.setdefault(data[offsets[row] : offsets[row + 1]].tobytes(), row)
        distinct = np.fromiter(first.values(), dtype=np.int64)
        ends = np.cumsum([source, *splits])
        generator = np.random.default_rng([seed, *ends])
        parts: list[list[Rows]] = [[], *([] for _ in splits)]
        for label, name in enumerate(names):
            members = generator.permutation(distinct[labels[distinct] == label])
            needed = int(ends[-1] if label in chosen else source)
            if len(members) < needed:
                raise InputError(f"class {str(name)!r} has {len(members)} images; allowed: at least {needed}, as asked")
            for part, rows in zip(parts if label in chosen else parts[:1], np.split(members, ends), strict=False):
                part.append(rows)
        pool, *own = (np.sort(np.concatenate(part)) for part in parts)
        target = dict(zip(("train", "validation", "test"), own, strict=True))
        return cls(file, chosen, [str(name) for name in names[chosen]], labels, pool, target)

    def write(self, folder: Path) -> None:
        """SOURCE, without labels, and TARGET with its other splits, labelled; the images stay encoded as they are."""
        with np.load(self.file, allow_pickle=False) as archive:
            data, offsets = archive["data"], archive["offsets"]

        def encoded(rows: Rows) -> dict[str, Any]:
            files = [data[offsets[row] : offsets[row + 1]] for row in rows]
            return {"data": np.concatenate(files), "offsets": np.cumsum([0, *map(len, files)])}

        np.savez(folder / SOURCE, **encoded(self.source))
        number = {int(label): i for i, label in enumerate(self.chosen)}
        for split, rows in self.target.items():
            labels = np.array([number[int(label)] for label in self.labels[rows]])
            file = folder / TARGET.replace("train", split)
            np.savez(file, **encoded(rows), labels=labels, classes=np.array(self.class_names))

    def useful(self, names: Sequence[str]) -> NDArray[np.int8]:
        """(m,) 1 for images of the target's classes, 0 for others, from the names that a run gives to its source's
        images: `source/000012` was written as number 12. Some may be missing, as images may not be decodable."""
        written = np.isin(self.labels[self.source], self.chosen).astype(np.int8)
        return written[[int(name.rpartition("/")[2]) for name in names]]
