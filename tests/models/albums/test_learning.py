"""models.albums.learning: exact slopes, and weights that a closed form knows."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from models.albums.learning import TEMPERATURE_PRIOR, learn
from models.albums.rule_file import parse_rules
from models.errors import ContradictoryRules, DataError
from tests.models.albums.albums import LABELS, make_facts, make_scores

KINDS = 22
AGREE = "1 near(a, b, 1) & kind(a) = k => kind(b) = k"


def nothing(photos: int, kinds: int) -> Callable[[float], np.ndarray]:
    """Scores that say nothing."""
    return lambda _: np.full((photos, kinds), -math.log(kinds))


@pytest.mark.parametrize(("share", "weight"), [(0.87, 4.945), (0.64, 3.620)])
def test_the_weight_of_agreement_is_that_of_the_closed_form(share: float, weight: float) -> None:
    """w = log(q (K - 1) / (1 - q)), where a share q of linked pairs agree."""
    assert math.log(share * (KINDS - 1) / (1 - share)) == pytest.approx(weight, abs=1e-3)
    pairs = 100
    times = np.arange(pairs).repeat(2) * 100.0
    truth = np.zeros(2 * pairs, np.int64)
    truth[1 : 2 * round(pairs * (1 - share)) : 2] = 1
    rules = parse_rules(AGREE, [f"k{i}" for i in range(KINDS)])
    found = learn(
        rules,
        make_facts(times),
        truth,
        nothing(2 * pairs, KINDS),
        math.inf,
        False,  # type: ignore[arg-type]
    )
    assert found.converged
    assert found.rules.rules[0].weight == pytest.approx(weight, abs=0.01)
    assert found.rules.temperature == 1


def test_a_rule_about_single_photos_gets_the_odds_of_its_kind() -> None:
    truth = np.array([1] * 30 + [0] * 10, np.int64)
    rules = parse_rules("0 kind(a) = cat", LABELS[:2])
    found = learn(rules, make_facts([0] * 40), truth, nothing(40, 2), math.inf, False)
    assert found.rules.rules[0].weight == pytest.approx(math.log(3), abs=1e-3)
    assert found.loss < found.loss_before


def test_a_pure_album_has_a_finite_weight() -> None:
    """The prior holds it; the temperature is fitted as well."""
    random = np.random.default_rng(3)
    truth = random.integers(0, 5, 20).repeat(3)
    logits = random.normal(0, 1, (60, 5)) + 2 * np.eye(5)[truth]
    facts = make_facts([0] * 60, list(np.arange(20).repeat(3)))

    def score(temperature: float) -> np.ndarray:
        values = logits / temperature
        return np.asarray(values - np.logaddexp.reduce(values, axis=1, keepdims=True))

    rules = parse_rules(
        "temperature 3\n1 kind(session(a)) = kind(a)\n"
        "hard kind(a) in {bird, cat, cow, dog, insect}",
        LABELS,
    )
    found = learn(rules, facts, truth, score)
    assert 3 < found.rules.rules[0].weight < 30
    assert found.rules.rules[1].hard
    assert 0.2 < found.rules.temperature < 3
    assert found.loss < found.loss_before
    assert found.photos == 60


def test_slopes_are_those_of_the_loss(rng: np.random.Generator) -> None:
    """A step of the search along each of them alone lowers the loss, by as much as they say."""
    text = (
        "{} kind(session(a)) = kind(a)\n{} near(a, b, 2) & kind(a) = cat => kind(b) in {{dog, cow}}"
    )
    truth = rng.integers(-1, 5, 12)
    facts = make_facts(list(range(12)), [0] * 6 + [1] * 6)
    scores = make_scores(rng, 12)

    def loss(first: float, second: float) -> float:
        rules = parse_rules(text.format(first, second), LABELS)
        return learn(rules, facts, truth, lambda _: scores, 10.0, False).loss_before

    best = learn(
        parse_rules(text.format(1, 1), LABELS), facts, truth, lambda _: scores, 10.0, False
    )
    weights = [rule.weight for rule in best.rules.rules]
    assert best.converged
    for i in (0, 1):
        for step in (-0.05, 0.05):
            moved = [w + step * (i == j) for j, w in enumerate(weights)]
            assert loss(*moved) > best.loss


def test_too_few_known_photos_are_refused() -> None:
    rules = parse_rules(AGREE, LABELS)
    with pytest.raises(DataError, match="at least 2 photos in folders called like kinds; found 1"):
        learn(rules, make_facts([0, 1]), np.array([1, -1]), nothing(2, 5))


def test_folders_that_break_a_hard_rule_are_told() -> None:
    rules = parse_rules("hard kind(a) != cat", LABELS)
    with pytest.raises(ContradictoryRules, match="the folders' kinds"):
        learn(rules, make_facts([0, 1]), np.array([1, 1]), nothing(2, 5))


def test_few_photos_that_are_all_right_do_not_make_scores_sure() -> None:
    truth = np.arange(6) % 5
    logits = 2.0 * np.eye(5)[truth]

    def score(temperature: float) -> np.ndarray:
        values = logits / temperature
        return np.asarray(values - np.logaddexp.reduce(values, axis=1, keepdims=True))

    rules, facts = parse_rules("1 kind(session(a)) = kind(a)", LABELS), make_facts([0] * 6)
    found = learn(rules, facts, truth, score, temperature_prior=TEMPERATURE_PRIOR)
    assert found.converged
    assert 0.3 < found.rules.temperature < 1
    assert learn(rules, facts, truth, score).rules.temperature < 0.3  # nothing holds it
