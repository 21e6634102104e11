"""From rules and facts to a graph: which kinds depend on which, and by which rules.

A rule counts once for each choice of what it speaks about: if it says the same of (a, b) and of
(b, a), once for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.albums.facts import Facts
from models.albums.links import make_link, select
from models.albums.rules import Rule, Term
from models.errors import TooManyLinks

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
MAX_TABLE = 10_000_000  # numbers of the largest table of an exact answer: kinds ** (width + 1)
MAX_PAIRS = 2_000_000  # that one rule may link


def find_max_width(kinds: int) -> int:
    """The largest w with kinds ** (w + 1) <= MAX_TABLE."""
    width = 0
    while kinds ** (width + 2) <= MAX_TABLE and width < 20:
        width += 1
    return width


@dataclass(frozen=True)
class Ground:
    """Of rule number `rule`: nodes [M] or [M, 2] that it speaks about, each once, and whether it
    holds, [kinds] or [kinds, kinds], by their kinds.
    """

    rule: int
    nodes: Numbers
    holds: NDArray[np.bool_]


#: rules on an edge: their number in Graph.grounds, and whether their table is to be transposed
Signature = tuple[tuple[int, bool], ...]


@dataclass(frozen=True)
class Graph:
    """Nodes are the photos, then sessions and bursts. Edge e links low[e] < high[e] and has the
    rules signatures[sort[e]].
    """

    kinds: int
    photos: int
    nodes: int
    grounds: tuple[Ground, ...]
    low: Numbers
    high: Numbers
    sort: Numbers
    signatures: tuple[Signature, ...]

    @cached_property
    def neighbours(self) -> list[set[int]]:
        found: list[set[int]] = [set() for _ in range(self.nodes)]
        for i, j in zip(self.low.tolist(), self.high.tolist(), strict=True):
            found[i].add(j)
            found[j].add(i)
        return found

    def make_tables(self, rules: Sequence[Rule]) -> list[Floats]:
        """Of each signature: [kinds of low, kinds of high]."""
        tables = []
        for signature in self.signatures:
            total = np.zeros((self.kinds, self.kinds))
            for number, turned in signature:
                own = self._weigh(number, rules)
                total += own.T if turned else own
            tables.append(total)
        return tables

    def make_unary(self, rules: Sequence[Rule], scores: Floats) -> Floats:
        """[nodes, kinds]: logarithms of the scores of photos, and what rules add."""
        unary = np.zeros((self.nodes, self.kinds))
        unary[: self.photos] = scores
        for number, ground in enumerate(self.grounds):
            if ground.nodes.ndim == 1:
                unary[ground.nodes] += self._weigh(number, rules)
        return unary

    def _weigh(self, number: int, rules: Sequence[Rule]) -> Floats:
        ground = self.grounds[number]
        return rules[ground.rule].weigh(ground.holds)


def make_graph(
    rules: Sequence[Rule], facts: Facts, kinds: int, max_width: int | None = None
) -> Graph:
    """The graph of these rules. With max_width, raises TooManyLinks before it makes links that no
    graph of this width has; always for more than MAX_PAIRS.
    """
    numbers: dict[tuple[str, int], int] = {}
    found: list[tuple[int, Numbers, NDArray[np.bool_]]] = []
    photos = len(facts)

    def find_nodes(term: Term, rows: Numbers) -> Numbers:
        if term.unit == "photo":
            return rows
        groups = facts.sessions if term.unit == "session" else facts.bursts
        used, inverse = np.unique(groups[rows], return_inverse=True)
        ids = [numbers.setdefault((term.unit, int(g)), photos + len(numbers)) for g in used]
        return np.array(ids, np.int64)[inverse.reshape(-1)]

    for number, rule in enumerate(rules):
        assigned = _assign(rule, facts, max_width)
        holds = rule.holds(kinds)
        terms = rule.terms()
        nodes = [find_nodes(term, assigned[term.variable]) for term in terms]
        if len(terms) == 1:
            found.append((number, np.unique(nodes[0]), holds))
            continue
        same = nodes[0] == nodes[1]
        if same.any():  # both terms are of one session, say
            found.append((number, np.unique(nodes[0][same]), holds.diagonal()))
        pairs = np.stack(nodes, axis=1)[~same]
        if (holds == holds.T).all():
            pairs.sort(axis=1)
        if len(pairs):
            found.append((number, np.unique(pairs, axis=0), holds))
    grounds = tuple(Ground(*parts) for parts in found if len(parts[1]))
    return Graph(kinds, photos, photos + len(numbers), grounds, *_make_edges(grounds))


def _assign(rule: Rule, facts: Facts, max_width: int | None) -> dict[str, Numbers]:
    """Photos for each variable, side by side, for which the evidence holds."""
    variables = rule.variables()
    masks = [
        select(facts, tuple(e for e in rule.evidence if e.variables == (variable,)))
        for variable in variables
    ]
    if len(variables) == 1:
        return {variables[0]: np.flatnonzero(masks[0])}
    about_both = [e for e in rule.evidence if len(e.variables) == 2]
    # They are the same for (p, q) and (q, p): the order of their variables does not matter.
    links = [make_link(facts, e, *masks) for e in about_both] or [make_link(facts, None, *masks)]
    links.sort(key=lambda link: link.count)
    direct = len(links) == 1 and [term.unit for term in rule.terms()] == ["photo", "photo"]
    if direct and max_width is not None and links[0].dense - 1 > max_width:
        raise TooManyLinks(describe_width(rule, links[0].dense - 1, max_width))
    if links[0].count > MAX_PAIRS:
        raise TooManyLinks(
            f"expected rules that link at most {MAX_PAIRS:,} pairs of photos; the rule of line "
            f"{rule.line} ({rule.text}) links {links[0].count:,}. Use kind(session(a)) = kind(a), "
            "or evidence that holds for fewer."
        )
    pairs = links[0].pairs()
    for link in links[1:]:
        pairs = pairs[link.keeps(pairs[:, 0], pairs[:, 1])]
    return {variable: pairs[:, i] for i, variable in enumerate(variables)}


def describe_width(rule: Rule, width: int, max_width: int) -> str:
    """Why a graph cannot be solved exactly."""
    return (
        f"expected links of a width of at most {max_width}, for which exact answers take at most "
        f"{MAX_TABLE:,} numbers; found a width of {width:,} or more, by the rule of line "
        f"{rule.line} ({rule.text}). Use kind(session(a)) = kind(a) or evidence that holds for "
        "fewer photos, or give --approximate."
    )


def _make_edges(
    grounds: tuple[Ground, ...],
) -> tuple[Numbers, Numbers, Numbers, tuple[Signature, ...]]:
    """low, high, sort and signatures of a Graph."""
    parts = []
    for number, ground in enumerate(grounds):
        if ground.nodes.ndim == 2:
            turned = ground.nodes[:, 0] > ground.nodes[:, 1]
            columns = [np.sort(ground.nodes, axis=1), 2 * np.full(len(turned), number) + turned]
            parts.append(np.column_stack(columns))
    if not parts:
        none = np.zeros(0, np.int64)
        return none, none, none, ()
    rows = np.concatenate(parts)
    rows = rows[np.lexsort(rows.T[::-1])]
    starts = np.flatnonzero(np.r_[True, (rows[1:, :2] != rows[:-1, :2]).any(axis=1)])
    ends = np.r_[starts[1:], len(rows)]
    sorts: dict[tuple[int, ...], int] = {}
    codes = rows[:, 2].tolist()
    sort = [
        sorts.setdefault(tuple(codes[start:end]), len(sorts))
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    ]
    signatures = tuple(tuple((code // 2, bool(code % 2)) for code in key) for key in sorts)
    low, high = rows[starts, 0], rows[starts, 1]
    return low, high, np.array(sort, np.int64), signatures
