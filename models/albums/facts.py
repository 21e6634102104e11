"""What is known of the photos of an album: times, sessions, bursts, cameras, places, folders."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from models.albums.exif import Taken

GAP, BURST = 120.0, 2.0  # seconds without a photo after which a session, a burst, ends
_FIRST = 788918400.0  # 1995: there was no camera that writes EXIF before
_DAY = 86400.0

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Facts:
    """Of N photos: times [N] in seconds of UTC, NaN if unknown; numbers [N] of the session and of
    the burst that each is in; cameras, folders (all those around a photo) and places [N, 2] in
    degrees, NaN if unknown. notes: what was assumed, for people.
    """

    times: Floats
    sessions: Numbers
    bursts: Numbers
    cameras: tuple[str, ...]
    folders: tuple[tuple[str, ...], ...]
    places: Floats
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.times)


def find_facts(
    names: Sequence[str],
    taken: Sequence[Taken],
    gap: float = GAP,
    burst: float = BURST,
    now: float | None = None,
) -> Facts:
    """Facts of photos by their names (relative paths) and metadata, in this order.

    A session has photos of one camera; so has a burst. A photo without a time is a session of its
    own. now: seconds since 1970, after which no clock can be right.
    """
    latest = (time.time() if now is None else now) + _DAY
    clocks = [f"{t.camera or ''}\0{t.serial or ''}" for t in taken]
    times, notes = _find_times(clocks, taken, latest)
    order = sorted(
        range(len(names)), key=lambda i: (clocks[i], _or_zero(float(times[i])), names[i])
    )
    groups = []
    for limit in (gap, burst):
        numbers = np.zeros(len(names), np.int64)
        for number, (last, i) in enumerate(pairwise([None, *order])):
            assert i is not None
            together = (
                last is not None
                and clocks[last] == clocks[i]
                and times[i] - times[last] <= limit  # False for NaN
            )
            numbers[i] = numbers[last] if together else number
        groups.append(_renumber(numbers, times, names))
    places = np.array([t.place or (np.nan, np.nan) for t in taken], np.float64).reshape(-1, 2)
    folders = tuple(PurePosixPath(name).parts[:-1] for name in names)
    cameras = tuple(t.camera or "" for t in taken)
    return Facts(times, groups[0], groups[1], cameras, folders, places, tuple(notes))


def _renumber(numbers: Numbers, times: Floats, names: Sequence[str]) -> Numbers:
    """The same groups, numbered by their first photos' times; those without one come last."""
    firsts: dict[int, tuple[float, str]] = {}
    for i, number in enumerate(numbers.tolist()):
        own = (np.inf if np.isnan(times[i]) else float(times[i]), names[i])
        firsts[number] = min(own, firsts.get(number, own))
    ranks = {number: rank for rank, number in enumerate(sorted(firsts, key=firsts.__getitem__))}
    return np.array([ranks[number] for number in numbers.tolist()], np.int64)


def _find_times(
    clocks: Sequence[str], taken: Sequence[Taken], latest: float
) -> tuple[Floats, list[str]]:
    """Seconds of UTC, NaN where there is none; and what was assumed."""
    local = np.array([np.nan if t.seconds is None else t.seconds for t in taken], np.float64)
    lacking = int(np.isnan(local).sum())
    wrong = (local < _FIRST) | (local > latest)
    local[wrong] = np.nan
    zones = np.array([np.nan if t.zone is None else t.zone for t in taken], np.float64)
    by_clock: dict[str, list[int]] = {}
    for i, clock in enumerate(clocks):
        if not np.isnan(local[i]):
            by_clock.setdefault(clock, []).append(i)
    without = 0
    for members in by_clock.values():
        rows = np.array(members)
        said, silent = rows[~np.isnan(zones[rows])], rows[np.isnan(zones[rows])]
        without += len(silent)
        if not len(said):
            zones[silent] = 0.0
            continue
        for i in silent:  # the zone of the photo next to it; of two, the earlier
            distance = np.abs(local[said] - local[i])
            near = said[distance == distance.min()]
            zones[i] = zones[near[np.lexsort((zones[near], local[near]))[0]]]
    notes = []
    if lacking:
        notes.append(f"{_count(lacking)} no EXIF time; each is a session of its own")
    if count := int(wrong.sum()):
        notes.append(
            f"{_count(count)} a time before 1995 or in the future: the camera's clock was not set; "
            "each is a session of its own"
        )
    if without and without == int((~np.isnan(local)).sum()):
        notes.append(
            "no photo has a time zone; times are as cameras showed them, and written as if in UTC"
        )
    elif without:
        notes.append(
            f"{_count(without)} no time zone; that of the same camera's next photo was taken, or "
            "UTC"
        )
    return local - np.nan_to_num(zones), notes


def _count(number: int) -> str:
    return f"{number:,} photo has" if number == 1 else f"{number:,} photos have"


def _or_zero(value: float) -> float:
    return 0.0 if np.isnan(value) else value
