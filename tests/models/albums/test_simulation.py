"""models.albums.simulation: sessions of single photos, and figures by hand."""

import math

import numpy as np
import pytest

from models.albums.simulation import (
    REGIMES,
    Regime,
    fit_means,
    join,
    lay_out,
    measure,
    simulate,
    take_means,
)
from models.evaluation.metrics import calibration_error


@pytest.mark.parametrize("regime", REGIMES, ids=lambda regime: regime.name)
def test_each_photo_is_in_one_session_of_the_size(regime: Regime, rng: np.random.Generator) -> None:
    truth = rng.integers(0, 5, 203)
    album = simulate(truth, regime, rng)
    assert sorted(album.order) == list(range(203))
    sizes = np.bincount(album.facts.sessions)
    assert sizes.max() == regime.size
    assert (sizes < regime.size).sum() <= 5
    kinds = [set(truth[album.order][album.facts.sessions == s]) for s in range(len(sizes))]
    assert all(len(found) == 1 for found in kinds) == (regime.pure == 1)
    moved = sum(len(found) > 1 for found in kinds)
    assert moved <= 203 * (1 - regime.pure) + 1


def test_albums_are_joined_with_sessions_of_their_own(rng: np.random.Generator) -> None:
    truth = rng.integers(0, 3, 20)
    albums = [simulate(truth, REGIMES[0], rng) for _ in range(3)]
    joined = join(albums)
    assert len(joined.order) == 60
    counts = [album.facts.sessions.max() + 1 for album in albums]
    assert joined.facts.sessions.max() + 1 == sum(counts)
    times = joined.facts.times
    assert (np.diff(times) > 0).all()


def test_figures_by_hand() -> None:
    chances = np.array([[0.8, 0.2], [0.4, 0.6], [0.9, 0.1]])
    truth = np.array([0, 0, 1])
    found = measure(chances, truth)
    assert found.top1 == pytest.approx(1 / 3)
    assert found.nll == pytest.approx(-(math.log(0.8) + math.log(0.4) + math.log(0.1)) / 3)
    assert found.ece == pytest.approx((0.2 + 0.6 + 0.9) / 3)


def test_the_calibration_error_is_that_of_trainings(rng: np.random.Generator) -> None:
    import torch

    logits, truth = rng.normal(0, 2, (300, 7)), rng.integers(0, 7, 300)
    chances = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    expected = calibration_error(torch.from_numpy(logits), torch.from_numpy(truth))
    assert 100 * measure(chances, truth).ece == pytest.approx(expected, abs=0.01)


def test_means_are_of_the_session() -> None:
    scores = np.log(np.array([[0.5, 0.5], [0.9, 0.1], [0.2, 0.8]]))
    found = take_means(scores, np.array([4, 4, 9]))
    odds = math.sqrt(9)
    assert found[0] == pytest.approx([odds / (1 + odds), 1 / (1 + odds)])
    assert found[1] == pytest.approx(found[0])
    assert found[2] == pytest.approx([0.2, 0.8])


def test_the_temperature_of_means_is_the_best_one(rng: np.random.Generator) -> None:
    truth = rng.integers(0, 4, 80)
    logits = 3 * rng.normal(0, 1, (80, 4)) + 2 * np.eye(4)[truth]
    album = simulate(truth, REGIMES[0], rng)

    def score(temperature: float) -> np.ndarray:
        values = logits / temperature
        return np.asarray(values - np.logaddexp.reduce(values, axis=1, keepdims=True))

    best, loss = fit_means(score, album, truth)
    for other in (best / 1.2, best * 1.2):
        scores = score(other)[album.order]
        found = measure(take_means(scores, album.facts.sessions), truth[album.order])
        assert found.nll > loss


def test_facts_of_known_sessions() -> None:
    facts = lay_out(np.array([0, 0, 3]))
    assert facts.times.tolist() == [0, 1, 3000]
