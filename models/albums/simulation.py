"""Sessions simulated from single photos, and how well ways of reasoning name their photos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.albums.facts import Facts
from models.albums.learning import learn
from models.albums.reasoning import reason
from models.albums.rules import RuleSet

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
BINS = 15  # of the calibration error
APART = 1000.0  # seconds between sessions; photos of one are a second apart
LEAST = 1e-12  # probability that a loss is taken of


@dataclass(frozen=True)
class Regime:
    """Sessions of `size` photos of one kind; then a share 1 - pure of the photos changes places."""

    size: int
    pure: float

    @property
    def name(self) -> str:
        purity = "pure" if self.pure == 1 else f"{self.pure:.0%} pure"
        return f"{purity}, of {self.size}"


REGIMES = (Regime(3, 1.0), Regime(6, 1.0), Regime(4, 0.9), Regime(4, 0.7))


class Simulated(NamedTuple):
    """order: of each place in an album, the number of the photo there; facts of the places."""

    order: Numbers
    facts: Facts


class Figures(NamedTuple):
    """top1: share of right answers; nll: mean negative log-likelihood; ece: expected calibration
    error, 0 to 1, with BINS bins.
    """

    top1: float
    nll: float
    ece: float


def simulate(truth: Numbers, regime: Regime, generator: np.random.Generator) -> Simulated:
    """An album with each photo once; what is left over of a kind is a smaller session."""
    order, sessions, count = [], [], 0
    for kind in np.unique(truth):
        members = generator.permutation(np.flatnonzero(truth == kind))
        order.append(members)
        sessions.append(count + np.arange(len(members)) // regime.size)
        count = int(sessions[-1][-1]) + 1
    places, groups = np.concatenate(order), np.concatenate(sessions)
    moved = generator.permutation(len(places))[: round((1 - regime.pure) * len(places))]
    places[moved] = places[generator.permutation(moved)]
    return Simulated(places, lay_out(groups))


def lay_out(sessions: Numbers) -> Facts:
    """Facts of photos whose sessions are known, in order, a second apart in each."""
    _, starts, inverse = np.unique(sessions, return_index=True, return_inverse=True)
    assert (np.diff(sessions) >= 0).all()
    within = np.arange(len(sessions)) - starts[inverse]
    count = len(sessions)
    return Facts(
        times=sessions * APART + within,
        sessions=sessions,
        bursts=sessions,
        cameras=("",) * count,
        folders=((),) * count,
        places=np.full((count, 2), np.nan),
    )


def join(albums: list[Simulated]) -> Simulated:
    """Several albums as one, with sessions of their own."""
    sessions, start = [], 0
    for album in albums:
        sessions.append(album.facts.sessions + start)
        start = int(sessions[-1].max(initial=-1)) + 1
    order = np.concatenate([album.order for album in albums])
    return Simulated(order, lay_out(np.concatenate(sessions)))


def measure(probabilities: Floats, truth: Numbers) -> Figures:
    """Of probabilities [N, kinds] for kinds [N]."""
    best = probabilities.argmax(axis=1)
    hits, sure = best == truth, probabilities.max(axis=1)
    bins = np.minimum((sure * BINS).astype(np.int64), BINS - 1)
    gaps = np.bincount(bins, sure - hits, BINS)
    likely = np.maximum(probabilities[np.arange(len(truth)), truth], LEAST)
    return Figures(
        float(hits.mean()), float(-np.log(likely).mean()), float(np.abs(gaps).sum() / len(truth))
    )


def take_means(scores: Floats, sessions: Numbers) -> Floats:
    """Each photo with the mean logarithm of its session's scores, as probabilities."""
    _, inverse = np.unique(sessions, return_inverse=True)
    sums = np.zeros((int(inverse.max(initial=-1)) + 1, scores.shape[1]))
    np.add.at(sums, inverse, scores)
    means = (sums / np.bincount(inverse)[:, None])[inverse]
    return np.asarray(np.exp(means - np.logaddexp.reduce(means, axis=1, keepdims=True)))


def fit_means(
    score: Callable[[float], Floats], album: Simulated, truth: Numbers
) -> tuple[float, float]:
    """The temperature at which the means of sessions have the least loss, and that loss."""

    def loss(logarithm: float) -> float:
        scores = score(float(np.exp(logarithm)))[album.order]
        return measure(take_means(scores, album.facts.sessions), truth[album.order]).nll

    low, high = np.log(0.05), np.log(20.0)
    ratio = (5**0.5 - 1) / 2
    for _ in range(40):  # golden section
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    middle = (low + high) / 2
    return float(np.exp(middle)), loss(middle)


def fit_rules(
    rules: RuleSet, score: Callable[[float], Floats], album: Simulated, truth: Numbers
) -> RuleSet:
    """The rules with weights and temperature learned from an album of known kinds."""
    places = album.order
    return learn(rules, album.facts, truth[places], lambda t: score(t)[places]).rules


def apply_rules(rules: RuleSet, score: Callable[[float], Floats], album: Simulated) -> Floats:
    """Probabilities of the kinds of the photo at each place."""
    return reason(rules, album.facts, score(rules.temperature)[album.order]).after
