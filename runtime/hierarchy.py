"""Nodes over a network's labels, and what each certainty needs, as a manifest's `hierarchy` says.

A node, such as "animal", covers the labels below it. Nodes may have several parents. The best node
for an image is the one with the most p * (information + bonus) (DARTS of Deng et al. 2012, whose
lambda is the bonus); runtime.hedging finds it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InvalidHierarchy

MAX_NODES = 4096
MAX_PARENTS = 16  # of a node or a label
MAX_CELLS = 2**26  # nodes times labels
MAX_BONUS = 1e6
MAX_LEVELS = 100
MAX_TEXT = 200
MAX_NOTICE = 8192


@dataclass(frozen=True)
class Node:
    """A name for several labels, and how a sentence names one of them: "animal", "an animal"."""

    name: str
    phrase: str
    parents: tuple[str, ...]  # names of nodes; of the root none


@dataclass(frozen=True)
class Level:
    """The bonus that is needed so that this share of answers is right; None: the root alone is."""

    certainty: float
    bonus: float | None


@dataclass(frozen=True)
class LevelFigures:
    """Of one level, on images that fitted nothing, as shares: right answers; information kept of
    log2(labels), where a wrong answer keeps none; answers that were the root. plain_: if the best
    label were the answer from a score on, and the root below it.
    """

    certainty: float
    got: float
    information: float
    root: float
    plain_got: float
    plain_information: float


@dataclass(frozen=True)
class HedgeFigures:
    """The figures of all levels; data and sha256: which images. Raises InvalidHierarchy."""

    levels: tuple[LevelFigures, ...]
    images: int
    data: str
    sha256: str

    def __post_init__(self) -> None:
        _check_count("measured.images", self.images)
        for name in ("data", "sha256"):
            _check_text(f"measured.{name}", getattr(self, name), may_be_empty=True)
        for level in self.levels:
            for name, value in vars(level).items():
                if not _is_number(value) or not 0 <= value <= 1:
                    _refuse(f"measured.levels.{name}", "a share from 0 to 1", value)


@dataclass(frozen=True)
class Hierarchy:
    """Nodes with one root, the parents of each label, and the levels, ascending.

    Every node covers at least two labels, no two nodes the same ones. images: that fitted the
    levels. notice: what must go along with the names, such as a licence. Raises InvalidHierarchy.
    """

    nodes: tuple[Node, ...]
    parents: tuple[tuple[str, ...], ...]
    levels: tuple[Level, ...]
    images: int
    notice: str | None = None
    measured: HedgeFigures | None = None

    def __post_init__(self) -> None:
        _check_levels(self.levels)
        _check_count("images", self.images)
        if self.notice is not None:
            _check_text("notice", self.notice, MAX_NOTICE, lines=True)
        measured = [figures.certainty for figures in self.measured.levels] if self.measured else []
        if measured not in ([], [level.certainty for level in self.levels]):
            _refuse("measured.levels", "the certainties of `levels`", measured)
        covered = find_covered(self.nodes, self.parents)
        counts = covered.sum(axis=1)
        if (counts < 2).any():
            node = self.nodes[int(counts.argmin())]
            _refuse("nodes", f"two labels or more below {node.name!r}", int(counts.min()))
        rows: dict[bytes, str] = {}
        for node, row in zip(self.nodes, np.packbits(covered, axis=1), strict=True):
            if (other := rows.setdefault(row.tobytes(), node.name)) != node.name:
                _refuse(
                    "nodes", f"other labels below {node.name!r} than below {other!r}", "the same"
                )

    @property
    def root(self) -> Node:
        """The node that covers all labels."""
        return next(node for node in self.nodes if not node.parents)

    def find_level(self, certainty: float) -> Level | None:
        """The lowest level with at least this certainty; None: there is none."""
        return next((level for level in self.levels if level.certainty >= certainty), None)

    def check_labels(self, labels: Sequence[str]) -> None:
        """Raises InvalidHierarchy unless it is one of these labels, whose names no node has."""
        if len(labels) != len(self.parents):
            _refuse("labels", f"parents of {len(labels)} labels", len(self.parents))
        twice = {node.name for node in self.nodes} & set(labels)
        if twice:
            _refuse("nodes", "names that no label has", sorted(twice)[0])


def find_covered(nodes: Sequence[Node], parents: Sequence[tuple[str, ...]]) -> NDArray[np.bool_]:
    """Which labels are below which node: bool [nodes, labels].

    Raises InvalidHierarchy for what is no graph with one root and without circles.
    """
    if not 1 <= len(nodes) <= MAX_NODES:
        _refuse("nodes", f"1 to {MAX_NODES} nodes", len(nodes))
    if len(parents) < 2 or len(nodes) * len(parents) > MAX_CELLS:
        _refuse("labels", f"2 labels or more, at most {MAX_CELLS // len(nodes)}", len(parents))
    index: dict[str, int] = {}
    for i, node in enumerate(nodes):
        _check_text("nodes.name", node.name)
        _check_text("nodes.phrase", node.phrase)
        if index.setdefault(node.name, i) != i:
            _refuse("nodes", "names that differ", f"{node.name!r} twice")
    above = [_find_parents(node.parents, index, f"nodes[{node.name!r}]") for node in nodes]
    roots = [node.name for node, found in zip(nodes, above, strict=True) if not found]
    if len(roots) != 1:
        _refuse("nodes", "one root, which has no parents", f"{len(roots)}: {roots[:3]}")
    covered = np.zeros((len(nodes), len(parents)), np.bool_)
    for label, names in enumerate(parents):
        found = _find_parents(names, index, f"labels[{label}]")
        if not found:
            _refuse(f"labels[{label}]", "one parent or more", "none")
        covered[found, label] = True
    for i in reversed(sort_downwards(nodes)):
        for parent in above[i]:
            covered[parent] |= covered[i]
    return covered


def sort_downwards(nodes: Sequence[Node]) -> list[int]:
    """Indexes of nodes, all parents before their children. Raises InvalidHierarchy for a circle."""
    index = {node.name: i for i, node in enumerate(nodes)}
    try:
        order = list(TopologicalSorter({node.name: node.parents for node in nodes}).static_order())
    except CycleError as error:
        _refuse("nodes", "parents without a circle", f"one of {error.args[1][:3]}")
    return [index[name] for name in order]


def _find_parents(names: Iterable[str], index: dict[str, int], where: str) -> list[int]:
    given = list(names)
    if len(given) > MAX_PARENTS or len(set(given)) < len(given):
        _refuse(where, f"up to {MAX_PARENTS} parents, each once", given)
    for name in given:
        if name not in index:
            _refuse(where, "parents that are nodes", repr(name))
    return [index[name] for name in given]


def _check_levels(levels: Sequence[Level]) -> None:
    if not 1 <= len(levels) <= MAX_LEVELS:
        _refuse("levels", f"1 to {MAX_LEVELS} levels", len(levels))
    certainty, bonus = 0.0, 0.0
    for level in levels:
        if not _is_number(level.certainty) or not certainty < level.certainty < 1:
            _refuse("levels.certainty", "ascending numbers between 0 and 1", level.certainty)
        needed = math.inf if level.bonus is None else level.bonus
        if level.bonus is not None and (not _is_number(needed) or not needed <= MAX_BONUS):
            _refuse("levels.lambda", f"a number from 0 to {MAX_BONUS:g}, or null", needed)
        if not needed >= bonus:
            _refuse("levels.lambda", "numbers that don't fall, and null last", needed)
        certainty, bonus = level.certainty, needed


def _check_count(name: str, value: object) -> None:
    if type(value) is not int or not 1 <= value < 2**63:
        _refuse(name, "a whole number above 0", value)


def _check_text(
    name: str,
    text: object,
    longest: int = MAX_TEXT,
    lines: bool = False,
    may_be_empty: bool = False,
) -> None:
    known = isinstance(text, str) and len(text) <= longest and (may_be_empty or text.strip())
    if not known or not str(text).replace("\n" if lines else "", "").isprintable():
        _refuse(name, f"up to {longest} printable characters", repr(text))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _refuse(name: str, expected: str, found: object) -> NoReturn:
    raise InvalidHierarchy(
        f"hierarchy.{name}: expected {expected}; found {str(found)[:60]}. Correct the hierarchy, "
        "and give it to the bundle with models.hedge again."
    )
