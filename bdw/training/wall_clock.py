"""The seconds that a run has worked."""

from __future__ import annotations

import time


class WallClock:
    """Seconds of all training, pruning, evaluation and checkpoints, those before a resume included."""

    def __init__(self) -> None:
        self._before, self._began = 0.0, time.perf_counter()

    def seconds(self) -> float:
        """Up to this moment."""
        return self._before + time.perf_counter() - self._began

    def go_on(self) -> None:
        """The run works again; what passed since the last `pause` does not count."""
        self._began = time.perf_counter()

    def pause(self) -> None:
        """What whoever asked for an epoch does with it is no work of the run."""
        self._before, self._began = self.seconds(), time.perf_counter()

    def state_dict(self) -> float:
        """The seconds up to this moment."""
        return self.seconds()

    def load_state_dict(self, state: float) -> None:
        """Continue from `state_dict()`."""
        self._before = state
