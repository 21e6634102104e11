"""The limits and the use of this process's container: Linux cgroups, versions 1 and 2.

A process is in one group of each hierarchy (/proc/self/cgroup), which lies below a mount
(/proc/self/mountinfo). In a container the mount usually shows the own group itself, on a host the
root of all groups. Limits of higher groups count, too, as far as they are visible: the lowest wins.
Everything is None if there is no such group, file or limit.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

PROC = Path("/proc/self")
# Version 1 has no word for "no limit": it writes the last whole page below 2**63.
_NO_LIMIT = 2**60


@dataclass(frozen=True)
class Throttling:
    """How often a CPU quota was used up since its group was created."""

    periods: int
    throttled_periods: int
    throttled_seconds: float  # summed over the CPUs


@dataclass(frozen=True)
class _Mount:
    root: PurePosixPath  # the group that it shows at its top
    point: Path
    version: int
    controllers: frozenset[str]  # of version 1


@dataclass(frozen=True)
class _Groups:
    """The directories of a controller's own group and of the higher ones; the own one first."""

    version: int
    levels: tuple[Path, ...]


def read_cpu_quota(proc: Path = PROC) -> float | None:
    """The lowest quota, in CPUs."""
    quota = _find_quota(_find_groups("cpu", proc))
    return None if quota is None else quota[0]


def read_memory_limit(proc: Path = PROC) -> int | None:
    """The lowest limit in bytes, above which the kernel ends processes of the group."""
    groups = _find_groups("memory", proc)
    file = "memory.max" if groups.version == 2 else "memory.limit_in_bytes"
    limits = [_read_number(level / file) for level in groups.levels]
    if groups.version == 1:  # of the groups above that a container does not see, too
        limits += [_read_table(own).get("hierarchical_memory_limit") for own in groups.levels[:1]]
    return min((limit for limit in limits if limit is not None and limit < _NO_LIMIT), default=None)


def read_memory_usage(proc: Path = PROC) -> int | None:
    """Bytes that the group uses, the page cache included."""
    usage = _read_usage(proc)
    return None if usage is None else usage[0]


def read_working_set(proc: Path = PROC) -> int | None:
    """Bytes in use that cannot simply be freed: usage without the inactive files of the cache."""
    usage = _read_usage(proc)
    return None if usage is None else max(0, usage[0] - usage[1])


def read_throttling(proc: Path = PROC) -> Throttling | None:
    """The periods of the group with the lowest quota, else of the nearest that counts."""
    groups = _find_groups("cpu", proc)
    quota = _find_quota(groups)
    for level in ([quota[1]] if quota else []) + list(groups.levels):
        table = _read_table(level, "cpu.stat")
        periods, throttled = table.get("nr_periods"), table.get("nr_throttled")
        if periods is not None and throttled is not None:
            if groups.version == 2:
                seconds = table.get("throttled_usec", 0) / 1e6
            else:
                seconds = table.get("throttled_time", 0) / 1e9
            return Throttling(periods, throttled, seconds)
    return None


def _find_quota(groups: _Groups) -> tuple[float, Path] | None:
    quotas = [(_read_quota(level, groups.version), level) for level in groups.levels]
    return min(((quota, level) for quota, level in quotas if quota is not None), default=None)


def _read_quota(level: Path, version: int) -> float | None:
    if version == 2:
        words = (_read_text(level / "cpu.max") or "").split()
        if len(words) != 2 or not all(word.isdecimal() for word in words):  # "max 100000"
            return None
        quota, period = map(int, words)
    else:
        quota = _read_number(level / "cpu.cfs_quota_us") or -1
        period = _read_number(level / "cpu.cfs_period_us") or 0
    return quota / period if quota > 0 and period > 0 else None


def _read_usage(proc: Path) -> tuple[int, int] | None:
    """Bytes in use, and those of inactive files; of the nearest group that counts memory."""
    groups = _find_groups("memory", proc)
    file, key = "memory.current", "inactive_file"
    if groups.version == 1:
        file, key = "memory.usage_in_bytes", "total_inactive_file"
    for level in groups.levels:
        usage = _read_number(level / file)
        if usage is not None:
            return usage, _read_table(level).get(key, 0)
    return None


def _find_groups(controller: str, proc: Path) -> _Groups:
    """The groups of a controller; it is in a hierarchy of version 1 if it is named there."""
    mounts = list(_read_mounts(proc))
    paths: dict[int, PurePosixPath] = {}
    for line in (_read_text(proc / "cgroup") or "").splitlines():
        number, _, rest = line.partition(":")
        names, _, own = rest.partition(":")
        if number == "0" and not names:
            paths[2] = PurePosixPath(own)
        elif controller in names.split(","):
            paths[1] = PurePosixPath(own)
    for version, path in sorted(paths.items()):
        candidates = [
            levels
            for mount in mounts
            if mount.version == version and (version == 2 or controller in mount.controllers)
            if (levels := _list_levels(mount, path))
        ]
        if candidates:
            return _Groups(version, max(candidates, key=len))
    return _Groups(2, ())


def _list_levels(mount: _Mount, path: PurePosixPath) -> tuple[Path, ...]:
    """The directories of a group and of higher ones that the mount shows.

    For a group that it does not show, as one outside of the own namespace, only the mount's top
    remains.
    """
    below: tuple[str, ...] = ()
    if path.is_relative_to(mount.root) and ".." not in path.parts:
        below = path.relative_to(mount.root).parts
    own = mount.point.joinpath(*below)
    if not own.is_dir():
        own, below = mount.point, ()
    return (own, *own.parents[: len(below)]) if own.is_dir() else ()


def _read_mounts(proc: Path) -> Iterator[_Mount]:
    """The cgroup mounts; of several at one place only the last, which hides the others."""
    mounts: dict[str, _Mount] = {}
    for line in (_read_text(proc / "mountinfo") or "").splitlines():
        head, separator, tail = line.partition(" - ")
        fields, (kind, _, options) = head.split(" "), (*tail.split(" "), "", "", "")[:3]
        if not separator or len(fields) < 5:
            continue
        mounts.pop(fields[4], None)
        if kind in ("cgroup", "cgroup2"):
            mounts[fields[4]] = _Mount(
                PurePosixPath(_unescape(fields[3])),
                Path(_unescape(fields[4])),
                2 if kind == "cgroup2" else 1,
                frozenset(options.split(",")),
            )
    yield from mounts.values()


def _unescape(path: str) -> str:
    """Decodes \\040, \\011, \\012, \\134: the kernel's space, tab, line end and backslash."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), path)


def _read_table(level: Path, file: str = "memory.stat") -> dict[str, int]:
    pairs = (line.split() for line in (_read_text(level / file) or "").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def _read_number(file: Path) -> int | None:
    try:
        return int(_read_text(file) or "")
    except ValueError:  # no such file, or "max"
        return None


def _read_text(file: Path) -> str | None:
    try:
        return os.fsdecode(file.read_bytes())
    except OSError:
        return None
