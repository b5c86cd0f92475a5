"""A look at one of the cluster's GPUs before the trials that want them."""

from __future__ import annotations

import ray

from bdw.errors import InputError
from bdw.parallel import gpu

SECONDS_TO_TRY = 60.0
"""For the start of a process and its first computation on a GPU."""


def require_working_gpu(field: str, gpus: float) -> None:
    """Raise `InputError` if a computation on a GPU that Ray reserves fails: no trial would fare better.

    Only machines that run now are looked at, one of them, and for `SECONDS_TO_TRY` at most: GPUs may be busy. Each
    trial looks at its own GPU once more. Does nothing where `gpus` is 0, or no GPU is there yet.
    """
    share = min(gpus, 1.0)
    if not share or ray.cluster_resources().get("GPU", 0.0) < share:
        return
    # Without CPUs, which other work may have taken.
    attempt = ray.remote(num_cpus=0, num_gpus=share, max_retries=0)(gpu.require_reserved).remote(field, share)
    answered, _ = ray.wait([attempt], timeout=SECONDS_TO_TRY)
    if not answered:
        ray.cancel(attempt, force=True)
        return
    try:
        ray.get(attempt)
    except InputError as error:  # Ray's error is an InputError as well, with a trace in its text.
        raise InputError(str(getattr(error, "cause", error))) from None
