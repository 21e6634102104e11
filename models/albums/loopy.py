"""Approximate probabilities of kinds by damped belief propagation, where nothing exact fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.albums.elimination import combine, log_sum
from models.albums.grounding import Graph

Floats = NDArray[np.float64]
ROUNDS = 200
DAMPING = 0.5  # share of the old message that is kept
TOLERANCE = 1e-6  # of probabilities


class Propagated(NamedTuple):
    """marginals [nodes, kinds]; change: the largest one of a probability in the last round."""

    marginals: Floats
    converged: bool
    rounds: int
    change: float


def propagate(
    graph: Graph, unary: Floats, tables: Sequence[Floats], rounds: int = ROUNDS
) -> Propagated:
    """Marginals of all nodes; NaN where hard rules leave no kind."""
    ends = np.concatenate([graph.low, graph.high])  # of each directed edge, where it starts
    others = np.concatenate([graph.high, graph.low])
    codes = np.concatenate([2 * graph.sort, 2 * graph.sort + 1])
    back = np.concatenate([np.arange(len(graph.low)) + len(graph.low), np.arange(len(graph.low))])
    groups = [(code, np.flatnonzero(codes == code)) for code in np.unique(codes)]
    messages = np.full((len(ends), graph.kinds), -np.log(graph.kinds))
    marginals = _normalise(unary)
    change, done = np.inf, 0
    for done in range(1, rounds + 1):
        beliefs = unary.copy()
        np.add.at(beliefs, others, messages)
        fresh = np.empty_like(messages)
        for code, rows in groups:
            table = tables[code // 2].T if code % 2 else tables[code // 2]
            start = beliefs[ends[rows]]
            came = messages[back[rows]]
            inner = np.where(
                np.isneginf(came), -np.inf, start - np.where(np.isneginf(came), 0, came)
            )
            fresh[rows] = combine(inner, table)
        with np.errstate(invalid="ignore"):
            fresh -= log_sum(fresh, 1)[:, None]
        if np.isnan(fresh).any():
            return Propagated(np.full_like(unary, np.nan), False, done, np.inf)
        # In probabilities: a message of -inf and one that is not have a mean, too.
        with np.errstate(divide="ignore"):
            messages = np.log(DAMPING * np.exp(messages) + (1 - DAMPING) * np.exp(fresh))
        beliefs = unary.copy()
        np.add.at(beliefs, others, messages)
        before, marginals = marginals, _normalise(beliefs)
        change = float(np.abs(marginals - before).max(initial=0.0))
        if not change > TOLERANCE:
            break
    return Propagated(marginals, change <= TOLERANCE, done, change)


def _normalise(beliefs: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.exp(beliefs - log_sum(beliefs, 1)[:, None])
