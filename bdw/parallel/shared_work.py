"""Work that rank 0 leads and all workers do: the others wait for pieces of it instead of for its end.

Ray Train and torchrun have started the workers already, so that independent pieces run side by side wherever a run has
several workers, and ask the cluster for nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, cast

from bdw.errors import InputError
from bdw.parallel import collectives

T = TypeVar("T")

Pieces = Sequence[Callable[[], Any]]
InParallel = Callable[[Pieces], Iterator[Any]]
"""What each piece returns, as soon as it is there."""


def with_all(lead: Callable[[InParallel], T]) -> T:
    """What `lead` returns, on every worker; it runs on rank 0, and all workers do the pieces that it hands to its
    argument, which are pickled: the files that they read must be where they are on rank 0.

    An error of `lead` or of a piece is raised on every worker: an `InputError` as such, any other as it is on rank 0
    and as `RuntimeError` elsewhere.
    """
    if collectives.size() == 1:
        return lead(lambda pieces: (piece() for piece in pieces))
    if collectives.rank() != 0:
        while (told := collectives.from_first(cast("tuple[str, Any] | None", None))) is not None:
            kind, what = told
            if kind == "pieces":
                collectives.gather_objects(_own(what))
            elif kind == "failure":
                raise _error(0, what)
            else:
                return cast(T, what)
    try:
        result = lead(_in_rounds)
    except Exception as error:
        collectives.from_first(("failure", _told(error)))
        raise
    collectives.from_first(("result", result))
    return result


def _in_rounds(pieces: Pieces) -> Iterator[Any]:
    """A piece a worker at a time, so that what is done can be kept."""
    size = collectives.size()
    for start in range(0, len(pieces), size):
        some = pieces[start : start + size]
        collectives.from_first(("pieces", list(some)))
        for number, (failure, value) in enumerate(collectives.gather_objects(_own(some))[: len(some)]):
            if failure is not None:
                raise _error(number, failure)
            yield value


def _own(pieces: Pieces) -> tuple[tuple[bool, str] | None, Any]:
    """How this worker's piece failed, if it did, and what it returned."""
    number = collectives.rank()
    if number >= len(pieces):
        return None, None
    try:
        with collectives.alone():
            return None, pieces[number]()
    except Exception as error:
        return _told(error), None


def _told(error: Exception) -> tuple[bool, str]:
    return isinstance(error, InputError), f"{error}"


def _error(number: int, told: tuple[bool, str]) -> Exception:
    is_input, message = told
    return InputError(message) if is_input else RuntimeError(f"worker {number} failed: {message}")
