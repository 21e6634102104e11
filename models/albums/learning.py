"""Weights of rules and a temperature of scores from albums whose kinds are known.

They are the most likely ones given the known kinds (conditional likelihood). The slope along a
weight is how often its rule holds given what is known, minus how often it is expected to hold by
the scores alone; both are exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.albums.elimination import Posterior, make_plan, solve
from models.albums.facts import Facts
from models.albums.grounding import find_max_width, make_graph
from models.albums.rule_file import MAX_WEIGHT, with_weights
from models.albums.rules import RuleSet
from models.errors import ContradictoryRules, DataError

Floats = NDArray[np.float64]
PRIOR = 10.0  # standard deviation of weights: that of a rule without exception stays finite
STEPS = 100
#: that of log(temperature) where photos are few: if all are right, no temperature is low enough
TEMPERATURE_PRIOR = 0.5
SLOPE = 1e-4  # below which a slope, divided by the number of photos, is 0
TRIED = 25  # halvings of a step
ENOUGH = 2  # photos of known kind


@dataclass(frozen=True)
class Learned:
    """rules with fitted weights and temperature; loss: mean negative log-likelihood of a photo's
    known kind given the others' scores, before and after; steps of the search.
    """

    rules: RuleSet
    photos: int
    loss_before: float
    loss: float
    steps: int
    converged: bool


def learn(
    rules: RuleSet,
    facts: Facts,
    truth: NDArray[np.int64],
    score: Callable[[float], Floats],
    prior: float = PRIOR,
    fit_temperature: bool = True,
    temperature_prior: float = math.inf,
) -> Learned:
    """truth: known kinds [N], -1 where unknown; score(temperature): logarithms [N, kinds].
    prior, temperature_prior: standard deviations of weights and of log(temperature), around 0.

    Raises DataError for fewer than ENOUGH known kinds; TooManyLinks; ContradictoryRules.
    """
    known = np.flatnonzero(truth >= 0)
    if len(known) < ENOUGH:
        raise DataError(
            f"expected at least {ENOUGH} photos in folders called like kinds; found {len(known)}. "
            "Sort some photos of an album: ALBUMS/cat/*.jpg, ALBUMS/dog/*.jpg."
        )
    kinds = score(rules.temperature).shape[1]
    graph = make_graph(rules.rules, facts, kinds, find_max_width(kinds))
    plan = make_plan(graph, rules.rules, find_max_width(kinds))
    soft = [i for i, rule in enumerate(rules.rules) if not rule.hard]
    holding = [ground.holds.astype(np.float64) for ground in graph.grounds]

    def count(posterior: Posterior) -> Floats:
        """How often each soft rule is expected to hold."""
        totals = np.zeros(len(rules.rules))
        for number, ground in enumerate(graph.grounds):
            if ground.nodes.ndim == 1:
                held = (posterior.marginals[ground.nodes] @ holding[number]).sum()
                totals[ground.rule] += held
        for signature, pairs in zip(graph.signatures, posterior.pairs, strict=True):
            for number, turned in signature:
                both = pairs.T if turned else pairs
                totals[graph.grounds[number].rule] += (both * holding[number]).sum()
        return totals[soft]

    def evaluate(point: Floats) -> tuple[float, Floats]:
        """Loss and its slopes, per known photo: weights of soft rules, then log(temperature)."""
        changed = _place(rules, soft, point)
        temperature = changed.temperature
        scores = score(temperature)
        unary = graph.make_unary(changed.rules, scores)
        tables = graph.make_tables(changed.rules)
        free = solve(plan, unary, tables, want_pairs=True)
        fixed = np.full((len(known), kinds), -np.inf)
        fixed[np.arange(len(known)), truth[known]] = unary[known, truth[known]]
        unary[known] = fixed
        held = solve(plan, unary, tables, want_pairs=True)
        if np.isneginf(held.log_total):
            raise ContradictoryRules(
                "expected hard rules that the folders' kinds satisfy; found photos that break "
                "one. Give the hard rules weights, or correct the folders."
            )
        slopes = np.zeros(len(point))
        slopes[: len(soft)] = count(free) - count(held) + point[: len(soft)] / prior**2
        near = 1e-5
        change = (score(temperature * math.exp(near)) - score(temperature * math.exp(-near))) / (
            2 * near
        )
        surplus = (free.marginals - held.marginals)[: graph.photos]
        loss = free.log_total - held.log_total + float((point[:-1] ** 2).sum()) / (2 * prior**2)
        if fit_temperature:
            slopes[-1] = float((surplus * change).sum() + point[-1] / temperature_prior**2)
            loss += float(point[-1] ** 2) / (2 * temperature_prior**2)
        return loss / len(known), slopes / len(known)

    start = np.array([*(rules.rules[i].weight for i in soft), math.log(rules.temperature)])
    point, loss_before, loss, steps, converged = _descend(evaluate, start)
    return Learned(_place(rules, soft, point), len(known), loss_before, loss, steps, converged)


def _place(rules: RuleSet, soft: list[int], point: Floats) -> RuleSet:
    weights = [rule.weight for rule in rules.rules]
    for i, weight in zip(soft, point, strict=False):
        weights[i] = float(np.clip(weight, -MAX_WEIGHT, MAX_WEIGHT))
    return with_weights(rules, weights, float(np.clip(math.exp(point[-1]), 0.01, 100)))


def _descend(
    evaluate: Callable[[Floats], tuple[float, Floats]], start: Floats
) -> tuple[Floats, float, float, int, bool]:
    """The lowest point that BFGS with halved steps finds (Nocedal and Wright, algorithm 6.1)."""
    point = start
    loss, slopes = evaluate(point)
    first = loss
    inverse = np.eye(len(point))
    for step in range(1, STEPS + 1):
        if np.abs(slopes).max(initial=0.0) < SLOPE:
            return point, first, loss, step - 1, True
        direction = -inverse @ slopes
        if direction @ slopes >= 0:
            inverse, direction = np.eye(len(point)), -slopes
        direction *= min(1.0, 2.0 / float(np.abs(direction).max()))  # at most 2 at a time
        size = 1.0
        for _ in range(TRIED):
            moved, (lower, turned) = point + size * direction, evaluate(point + size * direction)
            if lower <= loss + 1e-4 * size * float(direction @ slopes):
                break
            size /= 2
        else:
            return point, first, loss, step, False
        difference, bend = moved - point, turned - slopes
        curve = float(difference @ bend)
        if curve > 1e-12:
            left = np.eye(len(point)) - np.outer(difference, bend) / curve
            inverse = left @ inverse @ left.T + np.outer(difference, difference) / curve
        point, loss, slopes = moved, lower, turned
    return point, first, loss, STEPS, False
