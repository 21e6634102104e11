"""Exact probabilities of kinds by variable elimination, all in logarithms.

Leaves of the graph are eliminated in rounds, all of a round together: a tree takes linear time.
What is left, circles, is eliminated one node at a time, next the one that adds the fewest edges.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.albums.grounding import Graph, Numbers, describe_width
from models.albums.rules import Rule
from models.errors import TooManyLinks

Floats = NDArray[np.float64]
CHUNK = 2_000_000  # numbers of a table that is made at a time
SAFE = 300.0  # range of logarithms whose exponentials can be multiplied


@dataclass(frozen=True)
class _Clique:
    """A node that is eliminated, its neighbours then (sorted), and the edges that it has still."""

    node: int
    others: tuple[int, ...]
    edges: tuple[tuple[int, int], ...]  # number of the edge, position of its other end in `others`


@dataclass(frozen=True)
class Plan:
    """In which order the nodes of a graph are eliminated.

    rounds: leaves, their neighbours, and the edges between, of each round. roots: nodes that are
    left alone. wide: nodes of parts that are too wide, for which there is no exact answer.
    """

    graph: Graph
    rounds: tuple[tuple[Numbers, Numbers, Numbers], ...]
    cliques: tuple[_Clique, ...]
    roots: Numbers
    wide: Numbers

    @cached_property
    def positions(self) -> dict[int, int]:
        """When each node of a circle is eliminated."""
        return {clique.node: i for i, clique in enumerate(self.cliques)}


@dataclass
class Posterior:
    """marginals [nodes, kinds]; log_total: logarithm of the sum over all choices of kinds.

    pairs: with `want_pairs`, of each signature the sum over its edges of the probabilities of both
    kinds, [kinds of low, kinds of high].
    """

    marginals: Floats
    log_total: float
    pairs: list[Floats] = field(default_factory=list)


def make_plan(
    graph: Graph, rules: Sequence[Rule], max_width: int, approximate: bool = False
) -> Plan:
    """Raises TooManyLinks for a part of the graph that is wider, unless `approximate`."""
    neighbours = [set(around) for around in graph.neighbours]
    edges = {
        pair: e for e, pair in enumerate(zip(graph.low.tolist(), graph.high.tolist(), strict=True))
    }
    rounds, roots = [], []
    left = np.ones(graph.nodes, bool)
    leaves = [i for i, around in enumerate(neighbours) if len(around) <= 1]
    while leaves:
        rows, following = [], []
        for leaf in leaves:
            if not left[leaf]:
                continue
            left[leaf] = False
            if not neighbours[leaf]:
                roots.append(leaf)
                continue
            (parent,) = neighbours[leaf]
            neighbours[leaf].clear()
            neighbours[parent].discard(leaf)
            rows.append((leaf, parent, edges[min(leaf, parent), max(leaf, parent)]))
            if len(neighbours[parent]) <= 1:
                following.append(parent)
        if rows:
            columns = np.array(rows, np.int64).T
            rounds.append((columns[0], columns[1], columns[2]))
        leaves = following
    cliques: list[_Clique] = []
    wide: list[int] = []
    for part in _find_parts(np.flatnonzero(left).tolist(), neighbours):
        found = _eliminate(part, neighbours, edges, max_width)
        if isinstance(found, list):
            cliques += found
        elif approximate:
            wide += part
        else:
            rule = _find_culprit(graph, rules, found)
            raise TooManyLinks(describe_width(rule, len(found) - 1, max_width))
    return Plan(
        graph, tuple(rounds), tuple(cliques), np.array(roots, np.int64), np.array(wide, np.int64)
    )


def _find_parts(nodes: list[int], neighbours: list[set[int]]) -> list[list[int]]:
    parts, seen = [], set[int]()
    for start in nodes:
        if start in seen:
            continue
        seen.add(start)
        part = [start]
        for node in part:
            fresh = neighbours[node] - seen
            seen |= fresh
            part += sorted(fresh)
        parts.append(part)
    return parts


def _eliminate(
    part: list[int], neighbours: list[set[int]], edges: dict[tuple[int, int], int], max_width: int
) -> list[_Clique] | set[int]:
    """The order of a part, or the nodes of a clique that is too wide."""
    around = {node: set(neighbours[node]) for node in part}

    def fill(node: int) -> tuple[int, int]:
        near = around[node]
        there = sum(len(around[other] & near) for other in near)
        return (len(near) * (len(near) - 1) - there) // 2, len(near)

    costs = {node: fill(node) for node in part}
    queue = [(*cost, node) for node, cost in costs.items()]
    heapq.heapify(queue)
    cliques = []
    while around:
        *cost, node = heapq.heappop(queue)
        if node not in around or costs[node] != tuple(cost):
            continue
        near = around.pop(node)
        if len(near) > max_width:
            return near | {node}
        others = tuple(sorted(near))
        own = [
            (edge, i)
            for i, other in enumerate(others)
            if (edge := edges.get((min(node, other), max(node, other)))) is not None
        ]
        cliques.append(_Clique(node, others, tuple(own)))
        touched = set(near)
        for other in near:
            added = near - around[other] - {other}
            around[other] |= added
            around[other].discard(node)
            if cost[0]:
                touched |= around[other]
        for other in touched:
            costs[other] = fill(other)
            heapq.heappush(queue, (*costs[other], other))
    return cliques


def _find_culprit(graph: Graph, rules: Sequence[Rule], nodes: set[int]) -> Rule:
    """The rule that makes the most links among these nodes."""
    inside = np.isin(graph.low, list(nodes)) & np.isin(graph.high, list(nodes))
    counts: dict[int, int] = {}
    for sort, count in zip(*np.unique(graph.sort[inside], return_counts=True), strict=True):
        for number, _ in graph.signatures[sort]:
            rule = graph.grounds[number].rule
            counts[rule] = counts.get(rule, 0) + int(count)
    return rules[max(counts, key=lambda rule: (counts[rule], -rule))]


def combine(beliefs: Floats, table: Floats) -> Floats:
    """log of sum over x of exp(beliefs[m, x] + table[x, y]): [M, kinds]."""
    top, peak = _find_top(beliefs, 1), _find_top(table, None)
    if max(_span(beliefs - top), _span(table - peak)) < SAFE:
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(np.exp(beliefs - top) @ np.exp(table - peak)) + top + peak)
    step = max(CHUNK // table.size, 1)
    parts = [
        log_sum(beliefs[i : i + step, :, None] + table, 1) for i in range(0, len(beliefs), step)
    ]
    return np.concatenate(parts)


def _find_top(values: Floats, axis: int | tuple[int, ...] | None) -> Floats:
    """The largest along an axis, which stays; 0 where all is -inf."""
    top = values.max(axis=axis, keepdims=True)
    return np.where(np.isneginf(top), 0.0, top)


def _span(differences: Floats) -> float:
    """How far finite values are below 0."""
    return -float(differences.min(where=np.isfinite(differences), initial=0.0))


def log_sum(values: Floats, axis: int | tuple[int, ...]) -> Floats:
    """log of the sum of exponentials over these axes; -inf of nothing but -inf."""
    top = _find_top(values, axis)
    with np.errstate(divide="ignore"):
        total = np.log(np.exp(values - top).sum(axis=axis, keepdims=True)) + top
    return np.asarray(total.squeeze(axis))


def subtract(values: Floats, parts: Floats) -> Floats:
    """values - parts; what is impossible (-inf) stays so."""
    return np.where(np.isneginf(parts), -np.inf, values - np.where(np.isneginf(parts), 0.0, parts))


def solve(
    plan: Plan,
    unary: Floats,
    tables: Sequence[Floats],
    want_pairs: bool = False,
    advance: Callable[[int], object] | None = None,
) -> Posterior:
    """The exact posterior of the nodes that are not wide; those get none here, zeros.

    unary: [nodes, kinds], tables: of each signature. log_total is -inf where no choice is possible.
    """
    graph = plan.graph
    beliefs = unary.copy()
    pairs = [np.zeros((graph.kinds, graph.kinds)) for _ in tables] if want_pairs else []
    up: list[Floats] = []
    for leaves, parents, edges in plan.rounds:
        messages = _pass(graph, tables, beliefs[leaves], leaves, edges)
        np.add.at(beliefs, parents, messages)
        up.append(messages)
        if advance:
            advance(len(leaves))
    log_total = float(log_sum(beliefs[plan.roots], 1).sum()) if len(plan.roots) else 0.0
    sent: list[Floats] = []
    holding: dict[int, list[tuple[tuple[int, ...], Floats]]] = {}
    for clique in plan.cliques:
        joint = _join(graph, tables, clique, beliefs, holding.get(clique.node, []))
        message = log_sum(joint, 0)
        sent.append(message)
        if clique.others:
            first = min(clique.others, key=plan.positions.__getitem__)
            holding.setdefault(first, []).append((clique.others, message))
        else:
            log_total += float(message)
        if advance:
            advance(1)
    if np.isneginf(log_total):
        return Posterior(np.zeros_like(beliefs), log_total, pairs)
    _descend_cliques(plan, tables, beliefs, sent, holding, pairs)
    for (leaves, parents, edges), messages in zip(reversed(plan.rounds), reversed(up), strict=True):
        outer = subtract(beliefs[parents], messages)
        if want_pairs:
            _add_pairs(graph, tables, beliefs[leaves], outer, leaves, parents, edges, pairs)
        beliefs[leaves] += _pass(graph, tables, outer, parents, edges)
    marginals = np.exp(beliefs - log_sum(beliefs, 1)[:, None])
    marginals[plan.wide] = 0.0
    return Posterior(marginals, log_total, pairs)


def _pass(
    graph: Graph, tables: Sequence[Floats], beliefs: Floats, ends: Numbers, edges: Numbers
) -> Floats:
    """Messages over edges from these ends to the other ones, [M, kinds]."""
    messages = np.empty_like(beliefs)
    codes = 2 * graph.sort[edges] + (graph.low[edges] != ends)
    for code in np.unique(codes):
        mine = codes == code
        table = tables[code // 2]
        messages[mine] = combine(beliefs[mine], table.T if code % 2 else table)
    return messages


def _add_pairs(
    graph: Graph,
    tables: Sequence[Floats],
    inner: Floats,
    outer: Floats,
    leaves: Numbers,
    parents: Numbers,
    edges: Numbers,
    pairs: list[Floats],
) -> None:
    step = max(CHUNK // graph.kinds**2, 1)
    for start in range(0, len(edges), step):
        part = slice(start, start + step)
        turned = (graph.low[edges[part]] != leaves[part])[:, None]
        low = np.where(turned, outer[part], inner[part])
        high = np.where(turned, inner[part], outer[part])
        sorts = graph.sort[edges[part]]
        for sort in np.unique(sorts):
            mine = sorts == sort
            joint = low[mine][:, :, None] + tables[sort] + high[mine][:, None, :]
            pairs[sort] += np.exp(joint - log_sum(joint, (1, 2))[:, None, None]).sum(axis=0)


def _spread(values: Floats, own: tuple[int, ...], all_nodes: tuple[int, ...]) -> Floats:
    """An array over the nodes `own`, in the order of all_nodes, for arithmetic over them all."""
    kinds = values.shape[0] if values.ndim else 1
    return values.reshape([kinds if node in own else 1 for node in all_nodes])


def _join(
    graph: Graph,
    tables: Sequence[Floats],
    clique: _Clique,
    unary: Floats,
    messages: list[tuple[tuple[int, ...], Floats]],
) -> Floats:
    """All that is known of a node and its neighbours when it is eliminated: [kinds] * (1 + n)."""
    order = (clique.node, *clique.others)
    joint = np.zeros((graph.kinds,) * len(order))
    joint += _spread(unary[clique.node], (clique.node,), order)
    for edge, position in clique.edges:
        table = tables[graph.sort[edge]]
        other = clique.others[position]
        own = table if graph.low[edge] == clique.node else table.T
        joint += _spread(own, (clique.node, other), order)
    for nodes, message in messages:
        # A message lists its nodes sorted; the eliminated one is moved to the front.
        moved = np.moveaxis(message, nodes.index(clique.node), 0)
        joint += _spread(moved, nodes, order)
    return joint


def _descend_cliques(
    plan: Plan,
    tables: Sequence[Floats],
    beliefs: Floats,
    sent: list[Floats],
    holding: dict[int, list[tuple[tuple[int, ...], Floats]]],
    pairs: list[Floats],
) -> None:
    """From the last eliminated node to the first: joint probabilities, then those of its own."""
    graph = plan.graph
    unary = beliefs.copy()
    waiting: dict[int, list[int]] = {}
    for i, clique in enumerate(plan.cliques):
        if clique.others:
            waiting.setdefault(min(plan.positions[node] for node in clique.others), []).append(i)
    outer: dict[int, Floats] = {}
    for i in range(len(plan.cliques) - 1, -1, -1):
        clique = plan.cliques[i]
        order = (clique.node, *clique.others)
        joint = _join(graph, tables, clique, unary, holding.get(clique.node, []))
        if clique.others:
            joint = joint + subtract(outer.pop(i), sent[i])[None]
        beliefs[clique.node] = log_sum(joint, tuple(range(1, joint.ndim)))
        if pairs:
            chances = np.exp(joint - log_sum(joint, tuple(range(joint.ndim))))
            for edge, position in clique.edges:
                axes = tuple(a for a in range(1, joint.ndim) if a != position + 1)
                both = chances.sum(axis=axes)
                sort = graph.sort[edge]
                pairs[sort] += both if graph.low[edge] == clique.node else both.T
        for child in waiting.get(i, []):
            nodes = plan.cliques[child].others
            axes = tuple(a for a, node in enumerate(order) if node not in nodes)
            reduced = log_sum(joint, axes) if axes else joint
            kept = [node for node in order if node in nodes]
            outer[child] = np.transpose(reduced, [kept.index(node) for node in nodes])
