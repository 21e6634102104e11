"""Memory by kind as Linux accounts for it: shared or a process's own, of a file or written."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from loadtests.servers.processes import ProcessGone, list_tree

_PROC = Path("/proc")
_KIB = 1024
_NAMES = {
    "Rss": "rss",
    "Pss": "pss",
    "Private_Dirty": "private_dirty",
    "Private_Clean": "private_clean",
    "Shared_Clean": "shared_clean",
    "Shared_Dirty": "shared_dirty",
    "AnonHugePages": "huge_pages",
}
_MAPPING = re.compile(r"[0-9a-f]+-[0-9a-f]+ ")


@dataclass(frozen=True)
class Memory:
    """Resident bytes. `rss` is the sum of private and shared, dirty and clean.

    `private_dirty` is written by the process alone: nothing can take it away but swapping. Clean
    pages are of files, which the system may drop and read again. `pss` counts a page that n
    processes share as an n-th of it.
    """

    rss: int = 0
    pss: int = 0
    private_dirty: int = 0
    private_clean: int = 0
    shared_clean: int = 0
    shared_dirty: int = 0
    huge_pages: int = 0

    def __add__(self, other: "Memory") -> "Memory":
        return self._combine(other, lambda a, b: a + b)

    def __sub__(self, other: "Memory") -> "Memory":
        return self._combine(other, lambda a, b: a - b)

    def _combine(self, other: "Memory", how: Callable[[int, int], int]) -> "Memory":
        names = (field.name for field in fields(self))
        return Memory(**{name: how(getattr(self, name), getattr(other, name)) for name in names})


def read_memory(pid: int, proc: Path = _PROC) -> Memory:
    """The memory of a process and its descendants, added up. Raises ProcessGone."""
    found = [each for one in list_tree(pid, proc) if (each := _read_rollup(one, proc)) is not None]
    if not found:
        raise ProcessGone(f"expected a process {pid}, found none: it has ended")
    return sum(found, Memory())


def read_peak(pid: int, proc: Path = _PROC) -> int:
    """The largest RSS of this process alone since `reset_peak`, or ever. Raises ProcessGone."""
    try:
        text = (proc / str(pid) / "status").read_text()
    except OSError as fault:
        raise ProcessGone(f"expected a process {pid}, found none: it has ended") from fault
    return int(text.partition("VmHWM:")[2].split()[0]) * _KIB


def reset_peak(pid: int, proc: Path = _PROC) -> None:
    """Lets the largest RSS of a process begin anew; for a process of the same user."""
    (proc / str(pid) / "clear_refs").write_text("5")


def list_libraries(pid: int, proc: Path = _PROC) -> set[str]:
    """Names of the files that a process and its descendants have mapped."""
    found = set()
    for one in list_tree(pid, proc):
        try:
            lines = (proc / str(one) / "maps").read_text().splitlines()
        except OSError:  # it has ended meanwhile
            continue
        found |= {Path(line.split(maxsplit=5)[5]).name for line in lines if "/" in line}
    return found


def read_mapped(pid: int, name: str, proc: Path = _PROC) -> int:
    """Resident bytes of a process that are pages of files with this name. Raises ProcessGone."""
    try:
        lines = (proc / str(pid) / "smaps").read_text().splitlines()
    except OSError as fault:
        raise ProcessGone(f"expected a process {pid}, found none: it has ended") from fault
    size, matches = 0, False
    for line in lines:
        if _MAPPING.match(line):
            matches = line.endswith(f"/{name}")
        elif matches and line.startswith("Rss:"):
            size += int(line.split()[1]) * _KIB
    return size


def _read_rollup(pid: int, proc: Path) -> Memory | None:
    """None: it has ended, or is a zombie."""
    try:
        lines = (proc / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    values: dict[str, int] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon and name in _NAMES:
            values[_NAMES[name]] = int(value.split()[0]) * _KIB
    return _require_all(values)


def _require_all(values: Mapping[str, int]) -> Memory | None:
    return Memory(**values) if "rss" in values else None
