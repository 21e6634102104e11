"""Which pairs of photos are near in time or place or in one session, and how many, before any list.

Each link can say the number of its pairs, and of how many photos its densest group is, without
making the pairs: an album that no exact answer exists for is refused before it takes memory.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.albums.facts import Facts
from models.albums.rules import Evidence

EARTH = 6_371_000.0  # metres
Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Link:
    """Pairs (p, q), p != q, p of a first set of photos, q of a second one.

    count: of pairs, about; dense: a number of photos of both sets, each linked with each; pairs():
    int64 [M, 2]; keeps(p, q): which of given pairs are linked.
    """

    count: int
    dense: int
    pairs: Callable[[], Numbers]
    keeps: Callable[[Numbers, Numbers], Mask]


def select(facts: Facts, evidence: tuple[Evidence, ...]) -> Mask:
    """The photos for which all of this evidence about one photo holds: [N]."""
    mask = np.ones(len(facts), bool)
    for part in evidence:
        pattern = re.compile(fnmatch.translate(str(part.value).casefold()))
        if part.name == "camera":
            found = {c: bool(pattern.match(c.casefold())) for c in set(facts.cameras)}
            holds = np.array([found[camera] for camera in facts.cameras], bool)
        else:
            folders = facts.folders
            inside = {f: any(pattern.match(n.casefold()) for n in f) for f in set(folders)}
            holds = np.array([inside[folder] for folder in folders], bool)
        mask &= ~holds if part.negated else holds
    return mask


def make_link(facts: Facts, evidence: Evidence | None, first: Mask, second: Mask) -> Link:
    """The link that evidence about two photos makes; None links all photos."""
    if evidence is None:
        return _link_groups(np.zeros(len(facts), np.int64), first, second)
    if evidence.name == "same_session":
        return _link_groups(facts.sessions, first, second)
    assert isinstance(evidence.value, float)
    if evidence.name == "near":
        return _link_times(facts.times, evidence.value, first, second)
    return _link_places(facts.places, evidence.value, first, second)


def _join(parts: Iterator[Numbers]) -> Numbers:
    found = [part for part in parts if len(part)]
    pairs = np.concatenate(found) if found else np.zeros((0, 2), np.int64)
    return np.asarray(pairs[pairs[:, 0] != pairs[:, 1]])


def _product(left: Numbers, right: Numbers) -> Numbers:
    return np.stack([np.repeat(left, len(right)), np.tile(right, len(left))], axis=1)


def _link_groups(groups: Numbers, first: Mask, second: Mask) -> Link:
    size = int(groups.max(initial=-1)) + 1
    counts = [np.bincount(groups[mask], minlength=size) for mask in (first, second)]

    def pairs() -> Iterator[Numbers]:
        members = [np.flatnonzero(mask) for mask in (first, second)]
        members = [rows[np.argsort(groups[rows], kind="stable")] for rows in members]
        ends = [np.concatenate([[0], np.cumsum(count)]) for count in counts]
        for group in np.flatnonzero((counts[0] > 0) & (counts[1] > 0)):
            yield _product(
                *(m[e[group] : e[group + 1]] for m, e in zip(members, ends, strict=True))
            )

    return Link(
        int(counts[0] @ counts[1]),
        int(np.minimum(*counts).max(initial=0)),
        lambda: _join(pairs()),
        lambda p, q: groups[p] == groups[q],
    )


def _link_times(times: NDArray[np.float64], reach: float, first: Mask, second: Mask) -> Link:
    known = ~np.isnan(times)
    left, right = (np.flatnonzero(mask & known) for mask in (first, second))
    left, right = (rows[np.argsort(times[rows], kind="stable")] for rows in (left, right))
    low = np.searchsorted(times[right], times[left] - reach, "left")
    high = np.searchsorted(times[right], times[left] + reach, "right")
    # Photos from each time to `reach` later are all linked with each other.
    starts = times[np.concatenate([left, right])]
    within = [
        np.searchsorted(times[rows], starts + reach, "right") - np.searchsorted(times[rows], starts)
        for rows in (left, right)
    ]

    def pairs() -> Iterator[Numbers]:
        spans = high - low
        offsets = np.arange(int(spans.sum())) - np.repeat(np.cumsum(spans) - spans, spans)
        yield np.stack([np.repeat(left, spans), right[np.repeat(low, spans) + offsets]], axis=1)

    return Link(
        int((high - low).sum()),
        int(np.minimum(*within).max(initial=0)),
        lambda: _join(pairs()),
        lambda p, q: np.abs(times[p] - times[q]) <= reach,
    )


def _link_places(places: NDArray[np.float64], reach: float, first: Mask, second: Mask) -> Link:
    reach = max(reach, 0.01)
    latitude, longitude = np.radians(places).T
    points = EARTH * np.stack(
        [
            np.cos(latitude) * np.cos(longitude),
            np.cos(latitude) * np.sin(longitude),
            np.sin(latitude),
        ],
        axis=1,
    )
    known = ~np.isnan(points).any(axis=1)

    def keeps(p: Numbers, q: Numbers) -> Mask:
        squares = ((points[p] - points[q]) ** 2).sum(axis=1)
        return np.asarray(squares <= reach**2)  # False for NaN

    def cells(mask: Mask, side: float) -> dict[tuple[int, int, int], Numbers]:
        rows = np.flatnonzero(mask & known)
        keys = np.floor(points[rows] / side).astype(np.int64)
        found, inverse = np.unique(keys, axis=0, return_inverse=True)
        order = np.argsort(inverse.reshape(-1), kind="stable")
        ends = np.cumsum(np.bincount(inverse.reshape(-1), minlength=len(found)))
        parts = np.split(rows[order], ends[:-1]) if len(found) else []
        return {
            (int(x), int(y), int(z)): part for (x, y, z), part in zip(found, parts, strict=True)
        }

    left, right = cells(first, reach), cells(second, reach)
    around = [(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)]

    def neighbours() -> Iterator[tuple[Numbers, Numbers]]:
        for (x, y, z), rows in left.items():
            for dx, dy, dz in around:
                other = right.get((x + dx, y + dy, z + dz))
                if other is not None:
                    yield rows, other

    def pairs() -> Iterator[Numbers]:
        for rows, others in neighbours():
            found = _product(rows, others)
            yield found[keeps(found[:, 0], found[:, 1])]

    inner = [cells(mask, reach / 3**0.5) for mask in (first, second)]
    dense = [min(len(rows), len(inner[1].get(cell, ()))) for cell, rows in inner[0].items()]
    count = sum(len(rows) * len(others) for rows, others in neighbours())
    return Link(count, max(dense, default=0), lambda: _join(pairs()), keeps)
