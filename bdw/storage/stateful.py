"""Parts that have a state: kept by name, put back by name, or left as they were after a trial."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol


class Stateful(Protocol):
    """What `torch.distributed.checkpoint.stateful.Stateful` is, with states of any type."""

    def state_dict(self) -> Any:
        """What `load_state_dict` continues from: tensors, numbers, strings and containers of them."""

    def load_state_dict(self, state: Any, /) -> object:
        """Continue from a `state_dict()`."""


def state_of(parts: Mapping[str, Stateful]) -> dict[str, Any]:
    """Name -> state; called on every worker, for a state may be gathered from all of them."""
    return {name: part.state_dict() for name, part in parts.items()}


def restore(parts: Mapping[str, Stateful], state: Mapping[str, Any]) -> None:
    """Continue from a `state_of`, in the order of the parts. A part that the state does not know begins anew."""
    for name, part in parts.items():
        if name in state:
            part.load_state_dict(state[name])


@contextmanager
def untouched(parts: Mapping[str, Stateful]) -> Iterator[None]:
    """Whatever the block does to the parts is forgotten after it."""
    before = copy.deepcopy(state_of(parts))
    try:
        yield
    finally:
        restore(parts, before)
