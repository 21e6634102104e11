"""Kinds of all photos of an album by scores and rules: exactly, or approximately where asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.albums.elimination import make_plan, solve
from models.albums.facts import Facts
from models.albums.grounding import Graph, find_max_width, make_graph
from models.albums.loopy import propagate
from models.albums.rules import Rule, RuleSet
from models.errors import ContradictoryRules
from runtime import Manifest
from runtime.known import find_evidence

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """Probabilities of kinds, before and after reasoning, [photos, kinds]; graph: by what it was
    reasoned. notes: what people should know of it.
    """

    before: Floats
    after: Floats
    graph: Graph
    notes: tuple[str, ...]


def score(logits: NDArray[np.float32], manifest: Manifest, temperature: float = 1.0) -> Floats:
    """Logarithms of the probabilities of kinds, [N, kinds], by logits [N, logits].

    Kinds are the labels and, of a bundle that says `known`, "none of these" as the last one: as
    likely as all labels together at the bundle's threshold, below which the service says it.
    temperature: by which the bundle's own is multiplied.
    """
    values = np.asarray(logits, np.float64)
    labels = values[:, : manifest.classes] / (manifest.temperature * temperature)
    scores = labels - np.logaddexp.reduce(labels, axis=1, keepdims=True)
    known = manifest.known
    if known is None:
        return scores
    used = values[:, : manifest.classes + known.extra_logits]
    evidence = known.slope * find_evidence(used, known.source) + known.offset
    evidence -= math.log(known.threshold / (1 - known.threshold))
    says, denies = -np.logaddexp(0, -evidence), -np.logaddexp(0, evidence)
    return np.column_stack([scores + says[:, None], denies])


def reason(
    rules: RuleSet,
    facts: Facts,
    scores: Floats,
    approximate: bool = False,
    advance: Callable[[int], object] | None = None,
) -> Answers:
    """scores: logarithms [photos, kinds]. advance is told how many nodes were just done.

    Raises TooManyLinks, unless `approximate`; ContradictoryRules, naming them.
    """
    kinds = scores.shape[1]
    width = find_max_width(kinds)
    graph = make_graph(rules.rules, facts, kinds, None if approximate else width)
    plan = make_plan(graph, rules.rules, width, approximate)
    unary, tables = graph.make_unary(rules.rules, scores), graph.make_tables(rules.rules)
    notes = [*rules.notes, *_find_idle(rules.rules, graph)]
    posterior = solve(plan, unary, tables, advance=advance)
    if np.isneginf(posterior.log_total):
        _tell_contradiction(rules.rules, facts, scores, approximate)
    after = posterior.marginals[: graph.photos]
    if len(plan.wide):
        found = propagate(graph, unary, tables)
        if np.isnan(found.marginals).any():
            _tell_contradiction(rules.rules, facts, scores, approximate)
        wide = plan.wide[plan.wide < graph.photos]
        after[wide] = found.marginals[wide]
        # Leaves that hang on a part without an exact answer.
        hanging = _find_hanging(graph, plan.wide)
        after[hanging] = found.marginals[hanging]
        notes.append(
            f"{len(hanging):,} photos are linked too closely for an exact answer; belief "
            f"propagation {'converged' if found.converged else 'did not converge'} in "
            f"{found.rounds} rounds (last change {found.change:.1g})"
        )
    return Answers(np.exp(scores), after, graph, tuple(notes))


def _find_hanging(graph: Graph, wide: NDArray[np.int64]) -> NDArray[np.int64]:
    """The photos that any path of links leads to from these nodes, themselves among them."""
    seen = set(wide.tolist())
    left = list(seen)
    while left:
        fresh = graph.neighbours[left.pop()] - seen
        seen |= fresh
        left += fresh
    return np.array(sorted(node for node in seen if node < graph.photos), np.int64)


def _find_idle(rules: Sequence[Rule], graph: Graph) -> list[str]:
    if not graph.photos:
        return []
    used = {ground.rule for ground in graph.grounds}
    return [
        f"the rule of line {rule.line} ({rule.text}) is about no photo of this album"
        for number, rule in enumerate(rules)
        if number not in used
    ]


def _is_possible(rules: Sequence[Rule], facts: Facts, scores: Floats, approximate: bool) -> bool:
    kinds = scores.shape[1]
    graph = make_graph(rules, facts, kinds)
    plan = make_plan(graph, rules, find_max_width(kinds), approximate)
    unary, tables = graph.make_unary(rules, scores), graph.make_tables(rules)
    if np.isneginf(solve(plan, unary, tables).log_total):
        return False
    return not len(plan.wide) or not np.isnan(propagate(graph, unary, tables).marginals).any()


def _tell_contradiction(
    rules: Sequence[Rule], facts: Facts, scores: Floats, approximate: bool
) -> None:
    """Raises ContradictoryRules with the fewest hard rules that contradict each other."""
    needed = [rule for rule in rules if rule.hard]
    for rule in tuple(needed):
        others = [other for other in needed if other is not rule]
        if not _is_possible(others, facts, scores, approximate):
            needed = others
    lines = "; ".join(f"line {rule.line}: hard {rule.text}" for rule in needed)
    raise ContradictoryRules(
        f"expected hard rules that some choice of kinds satisfies; found none for {lines}. Give "
        "one of them a weight, or remove it."
    )
