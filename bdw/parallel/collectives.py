"""What workers exchange: rank, size, sums and gathers; one process is the trivial case.

Whoever starts the processes (torchrun, Ray Train) also starts the process group; this file never does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, NoReturn, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from bdw.errors import InputError

T = TypeVar("T")


TIMEOUT = timedelta(hours=24)
"""Limit of one exchange. It is long, since the others wait while rank 0 takes a measure. It need not find dead workers,
which are noticed at once, nor hanging steps, which the watchdog ends."""


_is_alone: ContextVar[bool] = ContextVar("is_alone", default=False)


@contextmanager
def alone() -> Iterator[None]:
    """Within, this worker is the only one: it exchanges nothing, and the others need not call what it calls."""
    token = _is_alone.set(True)
    try:
        yield
    finally:
        _is_alone.reset(token)


def is_distributed() -> bool:
    """Whether a process group is running, and this worker is part of it at the moment (`alone`)."""
    return not _is_alone.get() and dist.is_available() and dist.is_initialized()


def rank() -> int:
    """This worker's number, from 0."""
    return dist.get_rank() if is_distributed() else 0


def size() -> int:
    """How many workers there are."""
    return dist.get_world_size() if is_distributed() else 1


def mean_in_place(tensors: Sequence[Tensor]) -> None:
    """Replace every tensor by its mean over the workers, in one flat all-reduce."""
    if size() == 1:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    flat /= size()
    torch._foreach_copy_(
        list(tensors),
        [part.view_as(tensor) for part, tensor in zip(flat.split([t.numel() for t in tensors]), tensors, strict=True)],
    )


def total(values: Tensor) -> Tensor:
    """Element-wise sum over the workers."""
    if size() == 1:
        return values
    values = values.clone()
    dist.all_reduce(values)
    return values


def gather_rows(rows: Tensor) -> Tensor:
    """All workers' rows (m_r, ...) one below the other, in rank order; m_r may differ. CPU tensors."""
    if size() == 1:
        return rows
    counts = [torch.zeros(1, dtype=torch.int64) for _ in range(size())]
    dist.all_gather(counts, torch.tensor([len(rows)]))
    longest = max(int(count) for count in counts)
    padded = torch.zeros(longest, *rows.shape[1:], dtype=rows.dtype)
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in range(size())]
    dist.all_gather(parts, padded)
    return torch.cat([part[: int(count)] for part, count in zip(parts, counts, strict=True)])


def gather_objects(value: T) -> list[T]:
    """Every worker's value, in rank order."""
    if size() == 1:
        return [value]
    values: list[Any] = [None] * size()
    dist.all_gather_object(values, value)
    return values


def from_first(value: T) -> T:
    """Rank 0's value, on every worker."""
    return _from(0, value)


def on_first(action: Callable[[], T]) -> T | None:
    """Run the action on rank 0 while the others wait; returns its result on rank 0, None elsewhere.

    An error on rank 0 is raised on every worker (an `InputError` as such, any other as `RuntimeError`), so that no
    worker waits for one that has given up.
    """
    return _on(0, action)


def computed_on(source: int, action: Callable[[], T]) -> T:
    """Run the action on the worker of that rank while the others wait; all return its result or raise its error."""
    return cast(T, _from(source, _on(source, action)))


def first_then_others(on_first: Callable[[], T], on_others: Callable[[], T]) -> T:
    """Run one action on rank 0, then the other on all other workers; each returns its own result.

    An error on any worker is raised on all: rank 0 prepares something that the others then look for, and their machines
    may lack it.
    """
    result = _on(0, on_first)
    if size() == 1:
        return cast(T, result)
    failure: Exception | None = None
    if rank() != 0:
        try:
            result = on_others()
        except Exception as error:
            failure = error
    told = gather_objects(None if failure is None else (isinstance(failure, InputError), f"{failure}"))
    if failure is not None:
        raise failure
    for number, failed in enumerate(told):
        if failed is not None:
            _raise(number, failed)
    return cast(T, result)


def on_all(action: Callable[[], T]) -> T:
    """Run the action on every worker; each returns its own result. An error on any worker is raised on all."""
    return first_then_others(action, action)


def _on(source: int, action: Callable[[], T]) -> T | None:
    if size() == 1:
        return action()
    result: T | None = None
    failure: Exception | None = None
    if rank() == source:
        try:
            result = action()
        except Exception as error:
            failure = error
    told = _from(source, None if failure is None else (isinstance(failure, InputError), f"{failure}"))
    if failure is not None:
        raise failure
    if told is not None:
        _raise(source, told)
    return result


def _raise(source: int, told: tuple[bool, str]) -> NoReturn:
    is_input, message = told
    raise InputError(message) if is_input else RuntimeError(f"worker {source} failed: {message}")


def _from(source: int, value: T) -> T:
    if size() == 1:
        return value
    values: list[Any] = [value]
    dist.broadcast_object_list(values, src=source)
    told: T = values[0]
    return told
