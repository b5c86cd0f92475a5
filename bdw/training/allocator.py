"""Keeping the memory that a step leaves behind for the next one."""

from __future__ import annotations

import ctypes
import os
import platform

# glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3

LARGEST_BLOCKS = (2**25, 2**30)
"""Bytes of a tensor up to which its memory is kept, in the order in which they are asked for: the last one that is
accepted stays. glibc before 2.35 takes no more than 32 MiB."""
MOST_UNUSED = 2**31 - 1
"""Bytes that the process keeps at most when nothing uses them; mallopt takes no more."""


def keep_freed_memory() -> bool:
    """Let the C library keep freed memory instead of giving it back to the system; returns whether it does.

    Otherwise every large tensor of a step on the CPU comes as new pages, which the system zeroes one after the other:
    a tenth of a step of ResNet-18 at 84 pixels, a third of one of `small_cnn` at 32. What is computed stays the same.
    Only with glibc, and not where the environment tells it something else.
    """
    told = any(name.startswith("MALLOC_") for name in os.environ) or "GLIBC_TUNABLES" in os.environ
    if told or platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    accepted = [library.mallopt(M_MMAP_THRESHOLD, size) for size in LARGEST_BLOCKS]
    return bool(library.mallopt(M_TRIM_THRESHOLD, MOST_UNUSED)) and any(accepted)
