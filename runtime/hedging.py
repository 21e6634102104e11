"""Answers with the node of a hierarchy that is certain enough, as "animal" for a cat or dog."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.hierarchy import Hierarchy, Level, find_covered

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Hedged:
    """A label, or a node over several labels, that is right as often as was asked.

    score: the sum of the scores of the labels that it covers. path: the nodes above it, without the
    root, outermost first. phrase: of a node, how a sentence names one of its labels; of a label
    None. certainty: the level that was used.
    """

    label: str
    phrase: str | None
    score: float
    covers: int
    path: tuple[str, ...]
    certainty: float


class Hedger:
    """Finds the best node or label by the scores of all labels. Thread-safe.

    The labels are sorted so that a node covers few runs of them (of a tree, one): its score is a
    difference of prefix sums.
    """

    def __init__(self, hierarchy: Hierarchy, labels: Sequence[str]) -> None:
        hierarchy.check_labels(labels)
        covered = find_covered(hierarchy.nodes, hierarchy.parents)
        counts = covered.sum(axis=1)
        by_size = np.argsort(
            counts, kind="stable"
        )  # of equal worth the node that says more is first
        self.nodes = tuple(hierarchy.nodes[i] for i in by_size)
        self.covered: NDArray[np.bool_] = covered[by_size]  # [nodes, labels]
        self.counts = counts[by_size]
        self.bits = math.log2(len(labels))  # information of a label
        self.information: Values = self.bits - np.log2(self.counts)
        self._labels = tuple(labels)
        self._order = _sort_labels(hierarchy)
        edges = np.diff(self.covered[:, self._order].astype(np.int8), axis=1, prepend=0, append=0)
        rows, self._starts = np.nonzero(edges == 1)
        self._ends = np.nonzero(edges == -1)[1]
        self._firsts = np.searchsorted(rows, np.arange(len(self.nodes)))
        self._has_single_runs = len(rows) == len(self.nodes)
        names = {node.name: node for node in self.nodes}
        self._paths = {node.name: _find_path(node.name, names) for node in self.nodes}
        self._label_paths = tuple(
            (*self._paths[above[0]], above[0])[1:] for above in hierarchy.parents
        )

    def sum_scores(self, scores: NDArray[np.floating[Any]]) -> Values:
        """Scores of nodes [..., nodes], by those of labels [..., labels]; they are rounded."""
        sums = np.zeros((*scores.shape[:-1], scores.shape[-1] + 1))
        np.cumsum(scores.take(self._order, axis=-1), axis=-1, out=sums[..., 1:])
        totals: Values = sums.take(self._ends, axis=-1)
        totals -= sums.take(self._starts, axis=-1)
        if self._has_single_runs:
            return totals
        joined: Values = np.add.reduceat(totals, self._firsts, axis=-1)
        return joined

    def answer(self, scores: NDArray[np.floating[Any]], level: Level) -> Hedged:
        """The answer for one image by its labels' scores [labels], at a level of the hierarchy."""
        if level.bonus is None:
            return self._name_node(len(self.nodes) - 1, 1.0, level)
        totals = self.sum_scores(scores)
        worth = totals * (self.information + level.bonus)
        node, label = int(worth.argmax()), int(scores.argmax())
        score = float(scores[label])
        if score * (self.bits + level.bonus) >= worth[node]:
            return Hedged(
                self._labels[label], None, score, 1, self._label_paths[label], level.certainty
            )
        return self._name_node(node, min(max(float(totals[node]), 0.0), 1.0), level)

    def _name_node(self, i: int, score: float, level: Level) -> Hedged:
        node = self.nodes[i]
        path = self._paths[node.name][1:]
        return Hedged(node.name, node.phrase, score, int(self.counts[i]), path, level.certainty)


def _sort_labels(hierarchy: Hierarchy) -> NDArray[np.intp]:
    """The labels in the order of a walk along first parents, so that those of a node meet."""
    below: dict[str, list[str | int]] = {node.name: [] for node in hierarchy.nodes}
    for node in hierarchy.nodes:
        if node.parents:
            below[node.parents[0]].append(node.name)
    for label, above in enumerate(hierarchy.parents):
        below[above[0]].append(label)
    order: list[int] = []
    stack: list[str | int] = [hierarchy.root.name]
    while stack:
        item = stack.pop()
        if isinstance(item, int):
            order.append(item)
        else:
            stack.extend(below[item])
    return np.array(order, np.intp)


def _find_path(name: str, nodes: dict[str, Any]) -> tuple[str, ...]:
    """The names above a node along first parents, the root's first."""
    path: list[str] = []
    while parents := nodes[name].parents:
        name = parents[0]
        path.append(name)
    return tuple(reversed(path))
