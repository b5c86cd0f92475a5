"""Named random generators that all come from one seed, so that no part of a run can disturb another's draws."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

# Drawn alike on every worker: the initial parameters and the order of an epoch.
SHARED = ("model", "order")
# Every worker draws its own: it has its own images and its own target batches.
PER_WORKER = ("augmentation", "views", "weights", "target", "target_augmentation", "target_views", "tangent_views")


class Randomness:
    """The generators of one worker, by name, on the CPU (draws are small and move to the device afterwards)."""

    def __init__(self, seed: int, rank: int = 0):
        self._seed, self._rank = seed, rank
        self._generators = {name: _seeded(f"{seed}/{name}") for name in SHARED}
        self._generators |= {name: _seeded(f"{seed}/{name}/{rank}") for name in PER_WORKER}

    def __getitem__(self, name: str) -> torch.Generator:
        """The generator of that name; `KeyError` if there is none."""
        return self._generators[name]

    def state_dict(self) -> dict[str, Tensor]:
        """Name -> state (uint8 tensor), enough to continue every stream bit for bit."""
        return {name: generator.get_state() for name, generator in self._generators.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state_dict()`; a stream that the state lacks begins anew."""
        for name, generator in self._generators.items():
            if name in state:
                generator.set_state(state[name].cpu())

    def continue_as_another_worker(self, state: Mapping[str, Tensor], position: str) -> None:
        """Continue from that position on another number of workers, given the state of any old worker.

        Shared streams continue. A worker's own streams begin anew, because no earlier worker corresponds to it. They
        depend on the position, so that they do not repeat the draws that the run began with.
        """
        for name in SHARED:
            self._generators[name].set_state(state[name].cpu())
        for name in PER_WORKER:
            self._generators[name] = _seeded(f"{self._seed}/{name}/{self._rank}/after {position}")


@contextmanager
def drawn_from(generator: torch.Generator) -> Iterator[None]:
    """Let code that only knows torch's global CPU generator (layer initialisers, `rsample`) draw from this one."""
    outside = torch.get_rng_state()
    torch.set_rng_state(generator.get_state())
    try:
        yield
    finally:
        generator.set_state(torch.get_rng_state())
        torch.set_rng_state(outside)


def _seeded(name: str) -> torch.Generator:
    digest = hashlib.sha256(name.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
