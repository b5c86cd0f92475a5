"""Which worker this process is, by the variables that torchrun sets."""

from __future__ import annotations

from collections.abc import Mapping

from bdw.errors import InputError

_NEEDED = ("RANK", "MASTER_ADDR", "MASTER_PORT")


def place(environment: Mapping[str, str]) -> tuple[int, int]:
    """Rank and number of workers; (0, 1) without torchrun.

    Raises `InputError` for a WORLD_SIZE or RANK that is no such number, and where one of several workers is not told
    the rest.
    """
    size = _number(environment, "WORLD_SIZE", 1, None) if "WORLD_SIZE" in environment else 1
    if size == 1:
        return 0, 1
    missing = [name for name in _NEEDED if not environment.get(name)]
    if missing:
        raise InputError(
            f"WORLD_SIZE: {size} workers, but {', '.join(missing)} is not set; allowed: all that torchrun sets, or no "
            "WORLD_SIZE"
        )
    for name in ("MASTER_PORT", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        if name in environment:
            _number(environment, name, 0, None)
    return _number(environment, "RANK", 0, size - 1), size


def require_a_gpu_each(environment: Mapping[str, str], gpus: int) -> None:
    """Raise `InputError` for more workers on this machine than it has GPUs: NCCL refuses two workers on one."""
    workers = int(environment.get("LOCAL_WORLD_SIZE", "1"))
    if workers > gpus:
        raise InputError(
            f"LOCAL_WORLD_SIZE: {workers} workers cannot share {gpus} GPU(s), since NCCL refuses two workers on one; "
            f"allowed: up to {gpus} workers on this machine, or --device cpu"
        )


def _number(environment: Mapping[str, str], name: str, least: int, most: int | None) -> int:
    text = environment[name]
    if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
        allowed = f"{least} or more" if most is None else f"{least} to {most}"
        raise InputError(f"{name}: {text!r} cannot work; allowed: {allowed}, as torchrun sets it, or not set")
    return int(text)
