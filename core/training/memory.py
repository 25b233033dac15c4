"""The C allocator's settings for training on a CPU."""

from __future__ import annotations

import ctypes
import functools

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # glibc's malloc.h
_KEEP = 2**31 - 1


@functools.cache
def keep_freed_memory() -> bool:
    """Let the process keep the memory that tensors give back, instead of returning it to the system; whether it could.

    glibc maps every large block anew and the system clears its pages: at batches of volumes that was 15% to 60% of the
    time of a step's parts. What is freed stays with the process, and a heap that fragments can raise its peak: 2.2 GB
    for the default system, 4.8 GB once for a wider one. Only glibc has these settings.
    """
    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version  # noqa: B018 - absent elsewhere, where the numbers mean other things
        mallopt = libc.mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, _KEEP) and mallopt(_M_TOP_PAD, 64 * 2**20))
