"""Designs of the meta-batch (K ways, N shots, Q queries) and which of them a target has enough images for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bdw.config import RunConfig
from bdw.data import Description
from bdw.errors import InputError


@dataclass(frozen=True)
class Design:
    """An episode's size."""

    ways: int
    shots: int
    queries: int

    def __str__(self) -> str:
        return f"{self.ways}-way {self.shots}-shot {self.queries}-query"

    @classmethod
    def parse(cls, text: str) -> Design:
        """The design that a text of `str` names."""
        ways, shots, queries = map(int, re.findall(r"\d+", text))
        return cls(ways, shots, queries)

    @classmethod
    def of(cls, config: RunConfig) -> Design:
        """A run's design."""
        return cls(config.meta.ways, config.meta.shots, config.meta.queries)

    @property
    def fields(self) -> Mapping[str, int]:
        """As fields of a `RunConfig`."""
        return {"ways": self.ways, "shots": self.shots, "queries": self.queries}


@dataclass(frozen=True)
class Room:
    """The images that a target's training part offers for episodes, and which pictures these are."""

    num_classes: int
    smallest_class: int
    """Images in the smallest class."""
    num_images: int
    """Training images of all classes."""
    contents: str = ""
    """Content keys of source and target: other pictures under the same name are other data."""
    source_kinds: Mapping[str, int] = field(default_factory=dict)
    """Images of the source by kind (a mixture's members, say); empty where kinds are unknown."""

    @classmethod
    def of(cls, data: Description) -> Room:
        """As the packed data are described."""
        contents = f"source {data.source_key}, target {data.target_key}"
        counts = data.class_counts
        return cls(len(counts), min(counts), sum(counts), contents, data.source_kinds)

    def fits(self, design: Design) -> bool:
        """Whether every episode of the design can be drawn."""
        return design.ways <= self.num_classes and design.shots + design.queries <= self.smallest_class

    def largest_within(self, design: Design) -> Design:
        """The design itself if it fits, otherwise cut down to what there is.

        Raises `InputError` if the target cannot give a single episode.
        """
        if self.smallest_class < 2:
            raise InputError(f"targets: a class has {self.smallest_class} training images; allowed: at least 2 in each")
        share = self.smallest_class // 2
        return (
            Design(min(design.ways, self.num_classes), min(design.shots, share), min(design.queries, share))
            if (not self.fits(design))
            else design
        )


CANDIDATES = (
    Design(10, 5, 5),
    Design(10, 10, 10),
    Design(10, 1, 5),
    Design(5, 5, 5),
    Design(20, 5, 5),
)
"""Cheap to dear, around the paper's: images of an episode, and so its cost, go from 50 to 200."""


def searched(first: Design, room: Room, candidates: Iterable[Design] = CANDIDATES) -> tuple[Design, ...]:
    """The experiment's own design and all candidates that fit the target."""
    return tuple(dict.fromkeys([first, *(design for design in candidates if room.fits(design))]))
