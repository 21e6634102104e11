"""Small and random hierarchies, and the readable definition of what is found in them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from runtime import Hierarchy, Level, Node

ANIMALS = (
    Node("thing", "a thing", ()),
    Node("animal", "an animal", ("thing",)),
    Node("pet", "a pet", ("animal",)),
    Node("swimmer", "a swimmer", ("animal", "thing")),
    Node("vehicle", "a vehicle", ("thing",)),
)
LABELS = ("cat", "dog", "goldfish", "seal", "car", "boat")
PARENTS = (("pet",), ("pet",), ("pet", "swimmer"), ("swimmer",), ("vehicle",), ("vehicle",))
LEVELS = (Level(0.5, 0.0), Level(0.9, 2.0), Level(0.99, None))


def make_hierarchy(levels: tuple[Level, ...] = LEVELS) -> Hierarchy:
    """ANIMALS over LABELS: a pet and a swimmer share the goldfish."""
    return Hierarchy(ANIMALS, PARENTS, levels, 40)


@dataclass(frozen=True)
class Case:
    """A hierarchy, and scores [labels] that sum to 1."""

    hierarchy: Hierarchy
    scores: np.ndarray

    @property
    def labels(self) -> list[str]:
        return [f"label {i}" for i in range(len(self.scores))]


def find_leaves(hierarchy: Hierarchy, name: str) -> set[int]:
    """The labels below a node, by the definition: a label is below its parents and theirs."""
    nodes = {node.name: node for node in hierarchy.nodes}

    def is_below(names: tuple[str, ...]) -> bool:
        return any(above == name or is_below(nodes[above].parents) for above in names)

    return {i for i, names in enumerate(hierarchy.parents) if is_below(names)}


def find_worths(case: Case, bonus: float) -> dict[str, float]:
    """p * (information + bonus) of each node and label by its name."""
    count = len(case.scores)
    covered = {node.name: find_leaves(case.hierarchy, node.name) for node in case.hierarchy.nodes}
    covered |= {label: {i} for i, label in enumerate(case.labels)}
    return {
        name: math.fsum(case.scores[i] for i in leaves) * (math.log2(count / len(leaves)) + bonus)
        for name, leaves in covered.items()
    }


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Trees, and graphs in which nodes and labels have several parents."""
    count = draw(st.integers(2, 12))
    nodes, covered = [Node("0", "a 0", ())], {frozenset(range(count)): "0"}
    parents = [["0"] for _ in range(count)]
    for i in range(1, draw(st.integers(1, 8))):
        inside = draw(st.sampled_from(sorted(covered, key=sorted)))
        leaves = frozenset(draw(st.sets(st.sampled_from(sorted(inside)), min_size=2)))
        if leaves in covered:
            continue
        name, above = str(i), [covered[inside]]
        others = [other for leaf, other in covered.items() if leaves < leaf and other not in above]
        above += draw(st.lists(st.sampled_from(others), unique=True, max_size=2)) if others else []
        nodes.append(Node(name, f"a {name}", tuple(above)))
        covered[leaves] = name
        for leaf in leaves:
            keep = draw(st.booleans())
            parents[leaf] = [name, *parents[leaf]] if keep else [*parents[leaf], name]
    draw(st.randoms()).shuffle(nodes)
    given = draw(arrays(np.float64, count, elements=st.floats(0, 30)))
    scores = np.exp(given - given.max())
    hierarchy = Hierarchy(tuple(nodes), tuple(map(tuple, parents)), LEVELS, 1)
    return Case(hierarchy, scores / scores.sum())
