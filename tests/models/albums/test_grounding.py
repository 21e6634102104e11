"""models.albums.grounding: what rules speak about, each thing once; too much is refused at once."""

import tracemalloc

import numpy as np
import pytest

from models.albums.facts import Facts
from models.albums.grounding import MAX_TABLE, find_max_width, make_graph
from models.albums.rule_file import parse_rules
from models.errors import TooManyLinks
from tests.models.albums.albums import LABELS, make_facts


@pytest.mark.parametrize(("kinds", "width"), [(2, 20), (5, 9), (22, 4), (23, 4), (1000, 1)])
def test_widths_that_fit(kinds: int, width: int) -> None:
    assert find_max_width(kinds) == width
    assert kinds ** (width + 1) <= MAX_TABLE


def test_a_rule_that_says_the_same_of_both_orders_counts_once() -> None:
    facts = make_facts([0, 1, 9])
    symmetric = parse_rules("1 near(a, b, 2) & kind(a) = k => kind(b) = k", LABELS).rules
    graph = make_graph(symmetric, facts, 5)
    assert [g.nodes.tolist() for g in graph.grounds] == [[[0, 1]]]
    directed = parse_rules("1 near(a, b, 2) & kind(a) = cat => kind(b) = dog", LABELS).rules
    graph = make_graph(directed, facts, 5)
    assert [g.nodes.tolist() for g in graph.grounds] == [[[0, 1], [1, 0]]]
    assert len(graph.low) == 1
    assert graph.signatures == (((0, False), (0, True)),)
    holds = directed[0].holds(5)
    assert (graph.make_tables(directed)[0] == holds.astype(float) + holds.T).all()


def test_sessions_and_bursts_are_nodes_after_the_photos() -> None:
    facts = make_facts([0, 1, 500], [0, 0, 1])
    rules = parse_rules(
        "1 kind(session(a)) = kind(a)\n1 kind(session(a)) = kind(burst(a))\n"
        "1 same_session(a, b) & kind(session(a)) = cat => kind(session(b)) = dog",
        LABELS,
    ).rules
    graph = make_graph(rules, facts, 5)
    assert (graph.photos, graph.nodes) == (3, 8)
    pairs = [g.nodes.tolist() for g in graph.grounds]
    assert pairs[0] == [[0, 3], [1, 3], [2, 4]]
    assert sorted(map(sorted, pairs[1])) == [[3, 5], [3, 6], [4, 7]]
    # Both of its terms are of one session, so that it speaks of this alone: not a cat.
    assert pairs[2] == [3]
    assert graph.grounds[2].holds.tolist() == [True, False, True, True, True]


def test_rules_about_the_same_photos_share_a_table() -> None:
    facts = make_facts([0, 1], [0, 0])
    rules = parse_rules(
        "1 near(a, b, 2) & kind(a) = k => kind(b) = k\n2 same_session(a, b) & kind(a) = kind(b)",
        LABELS,
    ).rules
    graph = make_graph(rules, facts, 5)
    assert graph.make_tables(rules)[0].tolist() == (3 * np.eye(5)).tolist()


@pytest.mark.parametrize(
    "evidence", ["same_session(a, b)", "near(a, b, 5)", 'camera(a, "x") & camera(b, "x")']
)
def test_a_clique_of_a_million_photos_is_refused_before_memory_is_taken(evidence: str) -> None:
    count = 1_000_000
    facts = Facts(
        np.zeros(count),
        np.zeros(count, np.int64),
        np.arange(count),
        ("x",) * count,
        ((),) * count,
        np.full((count, 2), np.nan),
    )
    rules = parse_rules(f"# all\n1 {evidence} & kind(a) = k => kind(b) = k", LABELS).rules
    tracemalloc.start()
    try:
        with pytest.raises(
            TooManyLinks, match=r"found a width of 999,999 or more, by the rule of line 2"
        ):
            make_graph(rules, facts, 5, find_max_width(5))
        with pytest.raises(TooManyLinks, match=r"links 1,000,000,000,000\."):
            make_graph(rules, facts, 5)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200 * 2**20
