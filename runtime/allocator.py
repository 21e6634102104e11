"""Makes the C library's allocator return memory of images to the system (ctypes)."""

from __future__ import annotations

import ctypes
import sys

# Of mallopt(3), glibc.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

#: Blocks of this size and more are mapped for themselves and unmapped when they are freed.
MAPPED_BYTES = 8 * 2**20
#: What the arena keeps at its top, at most: for images in work on two threads.
KEPT_BYTES = 32 * 2**20
_ARENAS = 1


def trim_memory() -> bool:
    """Returns all free pages of the allocator to the system, which takes some milliseconds.

    False if there was nothing to return, or if the C library is not glibc.
    """
    if sys.platform != "linux":
        return False
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return malloc_trim is not None and bool(malloc_trim(0))


def return_freed_memory() -> bool:
    """Makes the allocator return large blocks at once and share one arena among all threads.

    glibc otherwise raises its threshold for mapped blocks to the largest that was freed, 32 MiB at
    most, and keeps as much in each thread's arena: after some large images the process stays as
    large as if they were there. And `trim_memory` can return the free top of the first arena alone:
    in a second one up to KEPT_BYTES would stay for good. Threads hardly wait for each other: images
    take few and large blocks, and Python's small objects come from its own allocator. To be called
    before there is a thread. False where the C library is another one.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    set_options = (
        mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES),
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES),
        mallopt(_M_ARENA_MAX, _ARENAS),
    )
    return all(set_options)
