"""What Linux tells about a process and its children: CPU time, memory, threads, descriptors."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_KIB = 1024
MIB = 2**20


class ProcessGone(Exception):
    """The process has ended; there is nothing to read any more."""


@dataclass(frozen=True)
class Usage:
    """What a process and its children hold at one moment. Shared pages count once in each."""

    rss_bytes: int
    peak_bytes: int  # the largest rss of each process so far, added up
    threads: int
    descriptors: int
    processes: int = 1


def read_usage(pid: int, proc: Path = _PROC) -> Usage:
    """The usage of a process and all its descendants. Raises ProcessGone."""
    rows = [row for each in list_tree(pid, proc) if (row := _read_one(each, proc)) is not None]
    if not rows:
        raise ProcessGone(f"expected a process {pid}, found none: it has ended")
    return Usage(
        rss_bytes=sum(row.rss_bytes for row in rows),
        peak_bytes=sum(row.peak_bytes for row in rows),
        threads=sum(row.threads for row in rows),
        descriptors=sum(row.descriptors for row in rows),
        processes=len(rows),
    )


def read_cpu_seconds(pid: int, proc: Path = _PROC) -> float:
    """CPU seconds, user and system, of a process and its living descendants. Raises ProcessGone.

    Threads that have ended count. The kernel's own clock of a process has nanoseconds, where
    /proc/PID/stat has hundredths of a second.
    """
    try:
        seconds = time.clock_gettime(_name_cpu_clock(pid))
    except OSError as fault:
        raise ProcessGone(f"expected a process {pid}, found none: it has ended") from fault
    for child in list_tree(pid, proc)[1:]:
        try:
            seconds += time.clock_gettime(_name_cpu_clock(child))
        except OSError:  # a child that has just ended
            continue
    return seconds


def list_tree(pid: int, proc: Path = _PROC) -> list[int]:
    """The process and its descendants, parents first."""
    children: dict[int, list[int]] = {}
    for folder in proc.iterdir():
        if folder.name.isdecimal() and (parent := _read_parent(folder)) is not None:
            children.setdefault(parent, []).append(int(folder.name))
    found = [pid]
    for each in found:  # grows while it is walked
        found += sorted(children.get(each, ()))
    return found


def format_bytes(count: float) -> str:
    """MiB, as tables have it."""
    return f"{count / MIB:.1f}"


def _name_cpu_clock(pid: int) -> int:
    """Linux's id of the clock that counts a process's CPU time: clock_getcpuclockid(3)."""
    return (~pid << 3) | 2


def _read_parent(folder: Path) -> int | None:
    try:
        text = (folder / "stat").read_text()
    except OSError:  # it has ended meanwhile
        return None
    return int(text.rpartition(")")[2].split()[1])  # the name before may contain anything


def _read_one(pid: int, proc: Path) -> Usage | None:
    """None: it has ended, or is a zombie, which holds nothing."""
    folder = proc / str(pid)
    try:
        fields = _read_fields((folder / "status").read_text().splitlines())
        descriptors = sum(1 for _ in (folder / "fd").iterdir())
    except OSError:
        return None
    if "VmRSS" not in fields:
        return None
    return Usage(
        rss_bytes=fields["VmRSS"] * _KIB,
        peak_bytes=fields["VmHWM"] * _KIB,
        threads=fields["Threads"],
        descriptors=descriptors,
    )


def _read_fields(lines: Iterable[str]) -> dict[str, int]:
    wanted = ("VmRSS", "VmHWM", "Threads")
    pairs = (line.partition(":") for line in lines)
    return {name: int(value.split()[0]) for name, _, value in pairs if name in wanted}
