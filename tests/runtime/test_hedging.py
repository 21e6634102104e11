"""runtime.hedging: the answer is that of the definition, and what rises with the bonus."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import Hedger, Level
from runtime.errors import InvalidHierarchy
from tests.runtime.hierarchies import (
    LABELS,
    LEVELS,
    Case,
    cases,
    find_leaves,
    find_worths,
    make_hierarchy,
)

BONUSES = st.one_of(st.floats(0, 20), st.sampled_from([0.0, 1e6]))


def test_answers_by_hand() -> None:
    hedger = Hedger(make_hierarchy(), LABELS)
    sure = np.array([0.94, 0.02, 0.01, 0.01, 0.01, 0.01])
    answer = hedger.answer(sure, LEVELS[1])
    assert (answer.label, answer.phrase, answer.score, answer.covers) == ("cat", None, 0.94, 1)
    assert (answer.path, answer.certainty) == (("animal", "pet"), 0.9)
    torn = np.array([0.48, 0.48, 0.01, 0.01, 0.01, 0.01])
    answer = hedger.answer(torn, LEVELS[1])
    assert (answer.label, answer.phrase, answer.covers) == ("pet", "a pet", 3)
    assert (answer.score, answer.path) == (pytest.approx(0.97), ("animal",))
    answer = hedger.answer(np.full(6, 1 / 6), LEVELS[2])
    assert (answer.label, answer.score, answer.covers, answer.path) == ("thing", 1.0, 6, ())


def test_a_label_of_two_nodes_counts_once_in_each_and_once_above() -> None:
    hedger = Hedger(make_hierarchy(), LABELS)
    scores = np.array([0.1, 0.2, 0.3, 0.25, 0.1, 0.05])
    found = dict(zip([n.name for n in hedger.nodes], hedger.sum_scores(scores), strict=True))
    expected = {"thing": 1.0, "animal": 0.85, "pet": 0.6, "swimmer": 0.55, "vehicle": 0.15}
    assert found == pytest.approx(expected, abs=1e-12)


def test_other_labels_than_the_hierarchys_are_refused() -> None:
    with pytest.raises(InvalidHierarchy, match="parents of 5 labels; found 6"):
        Hedger(make_hierarchy(), LABELS[:5])


@given(cases())
def test_scores_of_nodes_are_sums_over_their_labels(case: Case) -> None:
    hedger = Hedger(case.hierarchy, case.labels)
    both = hedger.sum_scores(np.stack([case.scores, case.scores[::-1]]))
    for i, node in enumerate(hedger.nodes):
        leaves = find_leaves(case.hierarchy, node.name)
        assert set(np.flatnonzero(hedger.covered[i])) == leaves
        expected = math.fsum(case.scores[leaf] for leaf in leaves)
        assert hedger.sum_scores(case.scores)[i] == pytest.approx(expected, abs=1e-12)
        assert both[0, i] == pytest.approx(expected, abs=1e-12)


@given(cases(), BONUSES)
def test_the_answer_has_the_most_worth_by_the_definition(case: Case, bonus: float) -> None:
    worths = find_worths(case, bonus)
    answer = Hedger(case.hierarchy, case.labels).answer(case.scores, Level(0.9, bonus))
    assert worths[answer.label] == pytest.approx(max(worths.values()), rel=1e-9, abs=1e-12)
    names = {node.name: node for node in case.hierarchy.nodes}
    leaves = find_leaves(case.hierarchy, answer.label) if answer.label in names else {0}
    assert (answer.covers, answer.phrase is None) == (len(leaves), answer.label not in names)
    assert 0 <= answer.score <= 1
    above = names[answer.label].parents if answer.label in names else None
    if above == ():
        assert answer.path == ()
    for upper, lower in zip(answer.path, answer.path[1:], strict=False):
        assert names[lower].parents[0] == upper


@given(cases(), BONUSES, BONUSES)
def test_a_higher_bonus_covers_no_fewer_labels_and_scores_no_lower(
    case: Case, one: float, two: float
) -> None:
    """Of two maxima of p * information + bonus * p that with the larger bonus has no smaller p, and
    so no more information. It need not lie above the other one.
    """
    hedger = Hedger(case.hierarchy, case.labels)
    low, high = (hedger.answer(case.scores, Level(0.9, b)) for b in sorted([one, two]))
    assert high.score >= low.score - 1e-9
    same = low.score * math.log2(len(case.scores) / low.covers) < 1e-9  # no worth to tell them by
    assert high.covers >= low.covers or same or high.score - low.score < 1e-9
