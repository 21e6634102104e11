"""The memory of this process as the kernel counts it; read on demand, kept for a second."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

_PROC = Path("/proc/self")
_CACHE_SECONDS = 1.0
# /proc file -> the line's name -> our name. Linux counts in KiB.
_SOURCES = {
    "smaps_rollup": {"Rss": "rss", "Pss": "pss", "Anonymous": "anonymous"},
    "status": {"VmHWM": "peak"},
}


def read_memory(proc: Path = _PROC) -> dict[str, int]:
    """Bytes by kind: rss, pss, anonymous and peak, the largest rss so far; {} outside of Linux.

    rss counts pages shared with other processes in full, pss in proportion.
    """
    result = {}
    for file, names in _SOURCES.items():
        try:
            lines = (proc / file).read_text().splitlines()
        except OSError:  # not Linux, or a kernel without it
            continue
        for line in lines:
            name, _, value = line.partition(":")
            if name in names:
                result[names[name]] = int(value.split()[0]) * 1024
    return result


def read_resident(proc: Path = _PROC) -> int:
    """Resident bytes, as rss of `read_memory` for a tenth of the cost; 0 outside of Linux."""
    return _read_pages(proc, 1)


def read_allocated(proc: Path = _PROC) -> int:
    """Bytes that only this process may write, touched or not; 0 outside of Linux."""
    return _read_pages(proc, 5)


def _read_pages(proc: Path, field: int) -> int:
    try:
        pages = int((proc / "statm").read_text().split()[field])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def read_machine_memory() -> int | None:
    """Bytes of memory that the machine has; None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not POSIX, or without these names
        return None


class MemoryReader:
    """`read_memory` at most once a second: reading it walks the page tables. Thread-safe."""

    def __init__(
        self,
        read: Callable[[], dict[str, int]] = read_memory,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._value: dict[str, int] = {}
        self._read_at: float | None = None

    def __call__(self) -> dict[str, int]:
        with self._lock:
            now = self._clock()
            if self._read_at is None or now - self._read_at >= _CACHE_SECONDS:
                self._value = self._read()
                self._read_at = now
            return dict(self._value)
