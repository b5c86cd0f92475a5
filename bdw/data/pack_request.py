"""Packing one part of a data set into a store of its own: `python -m bdw pack`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bdw.data.instances import Part
from bdw.data.packed import PackedDataset
from bdw.data.packing import write_part
from bdw.data.problem import labelled, limited, read
from bdw.data.readers import resolve
from bdw.data.source_and_targets import LabelledProgress
from bdw.errors import InputError


@dataclass(frozen=True, kw_only=True)
class PackRequest:
    """What to pack; JSON types only, so that it can be asked of another machine."""

    spec: str
    """As for `--source`."""
    image_size: int
    part: str = "source"
    """`source` (what a run would take as its source) or one of a target's splits."""
    data_root: str | None = None
    download: bool = False
    channels: int | None = None
    """1 or 3; None for what the data set has."""
    max_images: int | None = None
    seed: int = 0

    def chosen(self) -> tuple[Part, dict[str, object]]:
        """The images, none of them decoded yet, and what the store's header says of their origin. Raises `InputError`
        for what cannot work."""
        if self.image_size < 4:
            raise InputError(f"image_size: {self.image_size!r} cannot work; allowed: at least 4 pixels")
        if self.channels not in (None, 1, 3):
            raise InputError(f"channels: {self.channels!r} cannot work; allowed: 1 (grey) or 3 (colour)")
        reader, request = resolve(
            self.spec,
            option="source" if self.part == "source" else "target",
            image_size=self.image_size,
            data_root=self.data_root,
            download=self.download,
            channels=self.channels,
            seed=self.seed,
        )
        if self.part == "source":
            found = read(reader.source, request)
        else:
            parts: Mapping[str, Part] = {str(split): part for split, part in read(reader.target, request).items()}
            if self.part not in parts:
                raise InputError(f"part: {self.part!r} is not in {self.spec!r}; allowed: source, {', '.join(parts)}")
            found = parts[self.part]
        found = limited(found, self.max_images, self.seed)
        return found, {**found.fingerprint, "image_size": self.image_size, "channels": found.channels}


def pack(
    spec: str,
    out_dir: Path | str,
    image_size: int,
    *,
    part: str = "source",
    data_root: Path | str | None = None,
    download: bool = False,
    channels: int | None = None,
    max_images: int | None = None,
    seed: int = 0,
    progress: LabelledProgress | None = None,
) -> PackedDataset:
    """Pack one part of a data set into the new folder `out_dir` and return it open.

    For the arguments see `PackRequest`. Raises `InputError` for what cannot work.
    """
    request = PackRequest(
        spec=spec,
        image_size=image_size,
        part=part,
        data_root=None if data_root is None else str(data_root),
        download=download,
        channels=channels,
        max_images=max_images,
        seed=seed,
    )
    chosen, origin = request.chosen()
    return write_part(Path(out_dir), chosen, origin, labelled(progress, part))
