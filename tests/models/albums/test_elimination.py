"""models.albums.elimination: exact answers equal the sum over every choice, and pgmpy's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.albums.elimination import Plan, combine, log_sum, make_plan, solve
from models.albums.facts import Facts
from models.albums.grounding import Graph, make_graph
from models.albums.reasoning import reason
from models.albums.rule_file import parse_rules
from models.albums.rules import RuleSet
from models.errors import TooManyLinks
from tests.models.albums.albums import LABELS, enumerate_all, make_facts, make_scores

RULES = [
    "{} same_session(a, b) & kind(a) = k => kind(b) = k",
    "{} near(a, b, 2) & kind(a) = cat => kind(b) in {{dog, cow}}",
    "{} near(a, b, 4) & kind(a) != kind(b)",
    "{} kind(session(a)) = kind(a)",
    "{} kind(session(a)) = kind(burst(a))",
    "{} kind(burst(a)) = kind(a)",
    '{} camera(a, "x") => kind(a) in {{bird, insect}}',
    '{} !folder(a, "y") & kind(a) = cow',
    "hard kind(a) != dog",
    'hard camera(a, "x") & kind(session(a)) = cat => kind(a) = cat',
]
weights = st.floats(-6, 6).map(lambda w: round(w, 3))


@st.composite
def albums(draw: st.DrawFn, photos: int = 5, kinds: int = 3) -> tuple[Facts, RuleSet, np.ndarray]:
    count = draw(st.integers(1, photos))
    facts = make_facts(
        [float(draw(st.integers(0, 8))) for _ in range(count)],
        [draw(st.integers(0, 1)) for _ in range(count)],
        [draw(st.sampled_from("xz")) for _ in range(count)],
        [draw(st.sampled_from([(), ("y",)])) for _ in range(count)],
    )
    lines = draw(st.lists(st.sampled_from(RULES), max_size=4, unique=True))
    text = "\n".join(line.format(draw(weights)) for line in lines)
    labels = ("cat", "dog", "cow", "bird", "insect")
    scores = make_scores(np.random.default_rng(draw(st.integers(0, 999))), count, kinds)
    return facts, parse_rules(text, labels), scores


def solve_all(graph: Graph, rules: RuleSet, scores: np.ndarray) -> tuple[np.ndarray, float]:
    plan = make_plan(graph, rules.rules, 20)
    posterior = solve(
        plan, graph.make_unary(rules.rules, scores), graph.make_tables(rules.rules), True
    )
    return posterior.marginals, posterior.log_total


@settings(max_examples=60)
@given(albums())
def test_it_equals_the_sum_over_every_choice(
    album: tuple[Facts, RuleSet, np.ndarray],
) -> None:
    facts, rules, scores = album
    graph = make_graph(rules.rules, facts, scores.shape[1])
    if graph.nodes > 9:  # 3 ** 9 choices
        return
    expected, total = enumerate_all(graph, rules.rules, scores)
    found, log_total = solve_all(graph, rules, scores)
    assert log_total == pytest.approx(total, abs=1e-9)
    assert np.abs(found - expected).max() < 1e-9


@pytest.mark.parametrize(
    "text",
    ["2.5 same_session(a, b) & kind(a) = k => kind(b) = k", "\n".join(RULES[:3]).format(1, 2, -1)],
)
def test_six_photos_of_five_kinds(text: str, rng: np.random.Generator) -> None:
    facts = make_facts([0, 1, 2, 3, 4, 5], [0, 0, 0, 0, 1, 1])
    rules, scores = parse_rules(text, LABELS), make_scores(rng, 6)
    graph = make_graph(rules.rules, facts, 5)
    expected, total = enumerate_all(graph, rules.rules, scores)
    found, log_total = solve_all(graph, rules, scores)
    assert log_total == pytest.approx(total, abs=1e-9)
    assert np.abs(found - expected).max() < 1e-9


def check_pairs(graph: Graph, rules: RuleSet, scores: np.ndarray) -> Plan:
    """The margins of joint probabilities are those of the nodes, of low ends and of high ones."""
    plan = make_plan(graph, rules.rules, 20)
    unary, tables = graph.make_unary(rules.rules, scores), graph.make_tables(rules.rules)
    posterior = solve(plan, unary, tables, want_pairs=True)
    for sort, pairs in enumerate(posterior.pairs):
        edges = graph.sort == sort
        low, high = (
            posterior.marginals[ends[edges]].sum(axis=0) for ends in (graph.low, graph.high)
        )
        assert np.allclose(pairs.sum(axis=1), low, atol=1e-9)
        assert np.allclose(pairs.sum(axis=0), high, atol=1e-9)
    return plan


def test_pairs_are_joint_probabilities(rng: np.random.Generator) -> None:
    """Of circles and of leaves, whichever end is eliminated first."""
    for seed in range(8):
        random = np.random.default_rng(seed)
        facts = make_facts([*random.integers(0, 12, 6), 90.0], [*random.integers(0, 2, 6), 2])
        rules = parse_rules("\n".join(RULES[1:5]).format(-2, 0.5, 1, 2), LABELS)
        graph = make_graph(rules.rules, facts, 3)
        plan = check_pairs(graph, rules, make_scores(rng, 7, 3))
        assert plan.rounds
        assert plan.cliques


@pytest.mark.parametrize("seed", range(3))
def test_it_equals_pgmpy(seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("pgmpy", reason="pgmpy is not installed: make oracles")
        from pgmpy.factors.discrete import DiscreteFactor
        from pgmpy.inference import VariableElimination
        from pgmpy.models import DiscreteMarkovNetwork

        random = np.random.default_rng(seed)
        facts = make_facts(random.integers(0, 12, 12), random.integers(0, 3, 12))  # type: ignore[arg-type]
        text = "\n".join(RULES[:7]).format(*random.normal(0, 2, 7).round(3))
        rules, scores = parse_rules(text, LABELS), make_scores(random, 12, 3)
        graph = make_graph(rules.rules, facts, 3)
        unary, tables = graph.make_unary(rules.rules, scores), graph.make_tables(rules.rules)
        network = DiscreteMarkovNetwork()
        network.add_nodes_from([str(i) for i in range(graph.nodes)])
        factors = [DiscreteFactor([str(i)], [3], np.exp(unary[i])) for i in range(graph.nodes)]
        for low, high, sort in zip(graph.low, graph.high, graph.sort, strict=True):
            network.add_edge(str(low), str(high))
            factors.append(DiscreteFactor([str(low), str(high)], [3, 3], np.exp(tables[sort])))
        network.add_factors(*factors)
        oracle = VariableElimination(network)
        found, _ = solve_all(graph, rules, scores)
        for node in range(graph.nodes):
            expected = oracle.query([str(node)], show_progress=False).values
            expected = expected / expected.sum()  # pgmpy 1.1.2 does not always do so itself
            assert np.abs(found[node] - expected).max() < 1e-9


def test_the_order_of_photos_does_not_matter(rng: np.random.Generator) -> None:
    times, sessions = rng.integers(0, 60, 40), rng.integers(0, 8, 40)
    rules = parse_rules("\n".join(RULES[1:8]).format(*[1.5] * 7), LABELS)
    scores = make_scores(rng, 40)
    expected = reason(rules, make_facts(times, sessions), scores).after  # type: ignore[arg-type]
    for _ in range(3):
        order = rng.permutation(40)
        facts = make_facts(times[order], sessions[order])  # type: ignore[arg-type]
        found = reason(rules, facts, scores[order]).after
        assert np.abs(found - expected[order]).max() < 1e-9


def test_a_tree_of_any_size_is_solved_in_rounds(rng: np.random.Generator) -> None:
    rules = parse_rules("3 kind(session(a)) = kind(a)", LABELS)
    graph = make_graph(rules.rules, make_facts([0.0] * 3000, list(range(3)) * 1000), 5)
    plan = make_plan(graph, rules.rules, 1)
    assert len(plan.rounds) == 1
    assert plan.cliques == ()
    assert len(plan.roots) == 3


def test_a_circle_that_is_too_wide_is_refused_by_its_rule() -> None:
    rules = parse_rules(
        "1 kind(session(a)) = kind(a)\n"
        "1 near(a, b, 9) & near(b, a, 8) & kind(a) = k => kind(b) = k",
        LABELS,
    )
    facts = make_facts(list(range(30)), [0] * 30)
    with pytest.raises(
        TooManyLinks, match=r"of at most 3, .* found a width of 9 or more, by the rule of line 2"
    ):
        make_plan(make_graph(rules.rules, facts, 5), rules.rules, 3)


def test_far_apart_logarithms_are_summed_as_well_as_near_ones(rng: np.random.Generator) -> None:
    """Products of exponentials where they fit, sums of logarithms where not."""
    for spread in (1.0, 50.0, 2000.0):
        beliefs = rng.normal(0, spread, (7, 4))
        table = rng.normal(0, spread, (4, 4))
        beliefs[0, 1] = table[2] = -np.inf
        beliefs[3] = -np.inf
        expected = log_sum(beliefs[:, :, None] + table, 1)
        found = combine(beliefs, table)
        assert np.allclose(found, expected, atol=1e-9, rtol=1e-12)
        assert np.isneginf(found[3]).all()
