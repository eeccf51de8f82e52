"""Keeping freed memory, so that the next batch does not fault it in again.

glibc gives memory at the top of its heap back to the system as soon as more than a threshold is
free. A model that works on few tokens at the end of every batch crosses the threshold every time,
and the next batch pays for fresh pages: combining in the middle of MiniLM-L6 lost a tenth of its
speed to that (two Skylake cores, 2026-11-22). It is a setting of the whole process, so a library
must not change it unasked: laconic's own commands do, and programs may.
"""

from __future__ import annotations

import ctypes
import os

__all__ = ["keep_freed_memory"]

# From glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# The most that glibc takes for blocks that are mapped and unmapped one by one.
_LARGEST_MMAP_THRESHOLD = 32 << 20


def keep_freed_memory(limit: int = 1 << 30) -> bool:
    """Let this process keep up to `limit` bytes of freed memory for its next allocations.

    Args:
        limit: bytes, 1 GiB by default.

    Returns:
        Whether it took effect: only with glibc, and not where the environment has settings of its
        own (`MALLOC_TRIM_THRESHOLD_`, `MALLOC_MMAP_THRESHOLD_`, `GLIBC_TUNABLES`).

    Example:
        >>> keep_freed_memory() in (True, False)
        True
    """
    own = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
    if any(name in os.environ for name in own):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    took = mallopt(_TRIM_THRESHOLD, limit)
    return bool(took and mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD))
