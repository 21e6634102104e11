"""models.albums.loopy: exact on trees, near on circles, and honest where it does not settle."""

import numpy as np
import pytest

from models.albums.elimination import make_plan, solve
from models.albums.grounding import Graph, make_graph
from models.albums.loopy import propagate
from models.albums.rule_file import parse_rules
from models.albums.rules import RuleSet
from tests.models.albums.albums import LABELS, make_facts, make_scores


def both(text: str, photos: int, rng: np.random.Generator) -> tuple[RuleSet, Graph, np.ndarray]:
    rules = parse_rules(text, LABELS)
    graph = make_graph(rules.rules, make_facts(list(range(photos)), [0] * photos), 5)
    return rules, graph, graph.make_unary(rules.rules, make_scores(rng, photos))


@pytest.mark.parametrize(
    ("text", "photos", "tolerance"),
    [
        ("3 kind(session(a)) = kind(a)", 9, 1e-5),
        ("2 near(a, b, 1) & kind(a) = k => kind(b) = k", 9, 1e-5),
        ("0.3 same_session(a, b) & kind(a) = k => kind(b) = k", 5, 0.05),
        ("hard kind(a) != cat\n1 kind(session(a)) = kind(a)", 5, 1e-5),
    ],
)
def test_it_is_near_the_exact_answer(
    text: str, photos: int, tolerance: float, rng: np.random.Generator
) -> None:
    rules, graph, unary = both(text, photos, rng)
    tables = graph.make_tables(rules.rules)
    found = propagate(graph, unary, tables)
    exact = solve(make_plan(graph, rules.rules, 9), unary, tables).marginals
    assert found.converged
    assert np.abs(found.marginals - exact).max() < tolerance


def test_it_says_that_it_did_not_converge(rng: np.random.Generator) -> None:
    rules, graph, unary = both("2 same_session(a, b) & kind(a) = k => kind(b) = k", 8, rng)
    found = propagate(graph, unary, graph.make_tables(rules.rules), rounds=2)
    assert (found.converged, found.rounds) == (False, 2)
    assert found.change > 1e-6


def test_hard_rules_that_leave_nothing_give_no_numbers(rng: np.random.Generator) -> None:
    text = "hard near(a, b, 1) & kind(a) = k => kind(b) = k\nhard kind(a) != kind(session(a))\n"
    rules, graph, unary = both(text + "hard kind(session(a)) = kind(a)", 3, rng)
    assert np.isnan(propagate(graph, unary, graph.make_tables(rules.rules)).marginals).all()
