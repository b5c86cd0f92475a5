"""What a choice before training costs, so that comparisons can count it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds and images. What later choices from the same pool use again, for any target, is counted apart."""

    seconds: float
    """Of this choice alone."""
    images: int
    """That this choice alone read, passed through a network or compared, as often as it did."""
    shared_seconds: float
    """Of what later choices use again: features of the pool, experts. As measured when it was computed, also where it
    was found in the cache, so that a cost does not depend on what ran before."""
    shared_images: int
    """Images that went into what later choices use again."""
    trained_images: int
    """Of these, the images that passed through training steps, which cost more than those that are only embedded."""


class Meter:
    """Adds up the cost of one choice, from its making to `cost`."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._images = self._shared_images = self._trained_images = 0
        self._shared_seconds = self._aside = 0.0

    def count(self, images: int) -> None:
        """So many images were handled for this choice alone."""
        self._images += images

    def reuse(self, seconds: float, images: int, *, trained: bool = False) -> None:
        """Something was found that took so much when it was computed; `trained`: the images passed through training
        steps."""
        self._shared_seconds += seconds
        self._shared_images += images
        self._trained_images += images if trained else 0

    @contextmanager
    def shared(self, images: int) -> Iterator[Stopwatch]:
        """Within, something is computed from so many images that later choices use again."""
        watch = Stopwatch()
        yield watch
        self._aside += watch.seconds
        self.reuse(watch.seconds, images)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Within, the time is counted by somebody else (`reuse`)."""
        watch = Stopwatch()
        yield
        self._aside += watch.seconds

    def cost(self) -> Cost:
        """What the choice has cost so far."""
        return Cost(
            seconds=time.perf_counter() - self._began - self._aside,
            images=self._images,
            shared_seconds=self._shared_seconds,
            shared_images=self._shared_images,
            trained_images=self._trained_images,
        )


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """So far."""
        return time.perf_counter() - self._began
