"""The one exception for input that cannot work, so that every edge can turn it into a clear line and exit status 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something that the user gave cannot work; the message names the field, the value and what is allowed."""


def unknown_option(field: str, value: str, allowed: Iterable[str], nor: str = "") -> InputError:
    """The error for a value that is not in a registry, with the nearest allowed name; `nor`: what it is not either."""
    names = sorted(allowed)
    near = difflib.get_close_matches(value, names, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return InputError(f"{field}: {value!r} is not known{hint}{nor and f', nor {nor}'}; allowed: {', '.join(names)}")


class RunError(RuntimeError):
    """A run failed for a reason that one line says; its last checkpoint is intact."""


class NonFiniteError(RunError):
    """A quantity became NaN or infinite while training; the last checkpoint is intact."""

    def __init__(self, quantity: str, step: int, epoch: int):
        super().__init__(
            f"{quantity} is not finite at step {step} of epoch {epoch}; training stopped; the last checkpoint, if "
            "there is one, is intact. A lower learning rate (--learning-rate) or weight learning "
            "rate (--weight-lr) usually helps"
        )
        self.quantity, self.step, self.epoch = quantity, step, epoch


class DisagreementError(RunError):
    """Workers no longer hold the same; the last checkpoint is from before."""

    def __init__(self, what: str, epoch: int, ranks: list[int]):
        super().__init__(
            f"after epoch {epoch} worker(s) {', '.join(map(str, ranks))} and worker 0 differ in {what}; training "
            "stopped; the last checkpoint, if there is one, is from before. No setting does this: it is a bug or a "
            "broken machine"
        )
        self.what, self.epoch, self.ranks = what, epoch, ranks


class RunStopped(RuntimeError):
    """The run was asked to end, and saved what it had; continuing it loses nothing."""

    def __init__(self, reason: str, checkpoint: str):
        super().__init__(f"{reason}; stopped with a checkpoint after {checkpoint}, --resume continues from there")
        self.reason, self.checkpoint = reason, checkpoint


class Terminated(BaseException):
    """SIGTERM came before anything was trained, so that there is nothing to save. No `Exception`: code that goes on
    after a failure must not go on after this."""

    def __init__(self) -> None:
        super().__init__("this process was asked to end (SIGTERM) before it trained; the same command starts again")
