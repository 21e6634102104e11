"""Measures ways of naming the photos of sessions side by side."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.albums.reasoning import reason
from models.albums.rule_file import parse_rules
from models.albums.rules import RuleSet
from models.albums.simulation import (
    REGIMES,
    Figures,
    Simulated,
    apply_rules,
    fit_means,
    fit_rules,
    join,
    lay_out,
    measure,
    simulate,
    take_means,
)

RULES = Path(__file__).parents[1] / "recipes" / "album.rules"
CHAIN = "temperature 1\n3 near(a, b, 1) & kind(a) = k => kind(b) = k\n"
SESSION = "temperature 1\n3 kind(session(a)) = kind(a)\n"
FITTED_ON = 3  # albums of the validation photos
STRANGERS = REGIMES[2]  # into whose sessions photos of nothing known come
VIDEOS = REGIMES[1]  # that the weights of videos are fitted on
TIMED = 5
ALBUM_KINDS = 22

Floats = NDArray[np.float64]
Way = Callable[[Simulated], Floats]


class Scores(NamedTuple):
    """logits [N, kinds], true kinds [N], and the bundle's temperature."""

    logits: Floats
    truth: NDArray[np.int64]
    temperature: float

    def soften(self, temperature: float) -> Floats:
        """Logarithms of probabilities at a multiple of the bundle's temperature."""
        values = self.logits / (self.temperature * temperature)
        return np.asarray(values - np.logaddexp.reduce(values, axis=1, keepdims=True))


class Fitted(NamedTuple):
    """What was fitted on albums of a regime: two temperatures and two sets of rules."""

    alone: float
    means: float
    chain: RuleSet
    session: RuleSet
    default: RuleSet

    def apply(self, scores: Scores) -> dict[str, Way]:
        """Each way's probabilities of the kinds in an album of these photos."""
        return {
            "alone": lambda album: np.exp(scores.soften(self.alone)[album.order]),
            "means": lambda album: take_means(
                scores.soften(self.means)[album.order], album.facts.sessions
            ),
            "chain": lambda album: apply_rules(self.chain, scores.soften, album),
            "session": lambda album: apply_rules(self.session, scores.soften, album),
            "default": lambda album: apply_rules(self.default, scores.soften, album),
        }

    def tell(self) -> dict[str, Any]:
        return {
            "alone_temperature": round(self.alone, 4),
            "means_temperature": round(self.means, 4),
            **{
                name: {
                    "weight": round(rules.rules[0].weight, 4),
                    "temperature": round(rules.temperature, 4),
                }
                for name, rules in (("chain", self.chain), ("session", self.session))
            },
        }


def fit(scores: Scores, albums: Sequence[Simulated], labels: Sequence[str]) -> Fitted:
    """All ways, on albums of these photos."""
    album = join(list(albums))
    chain, session = (
        fit_rules(parse_rules(text, labels), scores.soften, album, scores.truth)
        for text in (CHAIN, SESSION)
    )
    default = parse_rules(RULES.read_text(), labels, RULES.name, none=False)
    single = Simulated(album.order, lay_out(np.arange(len(album.order))))
    alone, means = (fit_means(scores.soften, it, scores.truth)[0] for it in (single, album))
    return Fitted(alone, means, chain, session, default)


def measure_simulated(
    fitting: Scores, testing: Scores, labels: Sequence[str], shuffles: int, seed: int
) -> dict[str, Any]:
    """Of each regime: fitted weights, and mean and standard deviation of each way's figures."""
    generator = np.random.default_rng(seed)
    regimes: dict[str, Any] = {}
    every = []
    for regime in REGIMES:
        albums = [simulate(fitting.truth, regime, generator) for _ in range(FITTED_ON)]
        every += albums
        fitted = fit(fitting, albums, labels)
        ways = fitted.apply(testing)
        found: dict[str, list[Figures]] = {name: [] for name in ways}
        for _ in range(shuffles):
            album = simulate(testing.truth, regime, generator)
            for name, way in ways.items():
                found[name].append(measure(way(album), testing.truth[album.order]))
        rows = {name: _summarize(rows) for name, rows in found.items()}
        regimes[regime.name] = {"fitted": fitted.tell(), **rows}
    over_all = fit_rules(parse_rules(SESSION, labels), fitting.soften, join(every), fitting.truth)
    told = {"weight": over_all.rules[0].weight, "temperature": over_all.temperature}
    return {
        "shuffles": shuffles,
        "session_fitted_on_all_regimes": {name: round(value, 4) for name, value in told.items()},
        "regimes": regimes,
    }


def _summarize(rows: Sequence[Figures]) -> dict[str, dict[str, float]]:
    columns = zip(Figures._fields, zip(*rows, strict=True), strict=True)
    return {
        name: {
            "mean": round(statistics.fmean(values), 5),
            "deviation": round(statistics.stdev(values), 5) if len(values) > 1 else 0.0,
        }
        for name, values in columns
    }


def measure_strangers(
    score: Callable[[float], Floats],
    truth: NDArray[np.int64],
    labels: Sequence[str],
    shuffles: int,
    seed: int,
) -> dict[str, Any]:
    """Of sessions with photos that show none of the labels, each in one chosen by chance.

    score(temperature): logarithms [N, labels + 1]; truth: len(labels) where a photo shows none. The
    default rules, with and without those about NONE.
    """
    generator = np.random.default_rng(seed)
    strange = truth == len(labels)
    text = RULES.read_text()
    rules = {
        "default": parse_rules(text, labels, RULES.name),
        "default_without_none": parse_rules(text, labels, RULES.name, none=False),
    }
    found: dict[str, list[tuple[Figures, Figures]]] = {"alone": [], **{name: [] for name in rules}}
    for _ in range(shuffles):
        guests = truth.copy()
        guests[strange] = generator.choice(truth[~strange], int(strange.sum()))
        album = simulate(guests, STRANGERS, generator)
        answers = {name: apply_rules(own, score, album) for name, own in rules.items()}
        answers["alone"] = np.exp(score(1.0)[album.order])
        mine = truth[album.order]
        for name, chances in answers.items():
            other = mine == len(labels)
            found[name].append((measure(chances, mine), measure(chances[other], mine[other])))
    return {
        "sessions": STRANGERS.name,
        "images": len(truth),
        "strangers": int(strange.sum()),
        **{
            name: {
                **_summarize([both for both, _ in rows]),
                "top1_of_strangers": _summarize([other for _, other in rows])["top1"],
            }
            for name, rows in found.items()
        },
    }


def measure_videos(
    fitting: Scores, scores: Scores, sessions: Sequence[str], labels: Sequence[str], seed: int
) -> dict[str, Any]:
    """Of frames whose videos are `sessions`: weights are those of simulated ones, VIDEOS."""
    generator = np.random.default_rng(seed)
    albums = [simulate(fitting.truth, VIDEOS, generator) for _ in range(FITTED_ON)]
    names, numbers = np.unique(sessions, return_inverse=True)
    order = np.argsort(numbers, kind="stable")
    album = Simulated(order, lay_out(numbers[order].astype(np.int64)))
    fitted = fit(fitting, albums, labels)
    answers = {name: way(album) for name, way in fitted.apply(scores).items()}
    truth = scores.truth[order]
    by_video = {}
    for number, video in enumerate(names):
        rows = numbers[order] == number
        by_video[str(video)] = {
            "frames": int(rows.sum()),
            **{
                name: round(float((found[rows].argmax(axis=1) == truth[rows]).mean()), 4)
                for name, found in answers.items()
            },
        }
    return {
        "videos": len(names),
        "frames": len(truth),
        "fitted_on": VIDEOS.name,
        "fitted": fitted.tell(),
        **{name: _summarize([measure(found, truth)]) for name, found in answers.items()},
        "by_video": by_video,
    }


def measure_scale(photos: int, seed: int) -> dict[str, Any]:
    """Seconds and peak memory of the default rules on sessions of 4 made-up photos."""
    generator = np.random.default_rng(seed)
    labels = [f"kind{i}" for i in range(ALBUM_KINDS)]
    rules = parse_rules(RULES.read_text(), labels, RULES.name, none=False)
    scores = generator.normal(0, 2, (photos, ALBUM_KINDS))
    scores -= np.logaddexp.reduce(scores, axis=1, keepdims=True)
    facts = lay_out(np.arange(photos) // 4)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(TIMED):
        clock = time.perf_counter()
        reason(rules, facts, scores)
        seconds.append(time.perf_counter() - clock)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "photos": photos,
        "kinds": ALBUM_KINDS,
        "seconds": {
            "median": round(statistics.median(seconds), 4),
            "min": round(min(seconds), 4),
            "max": round(max(seconds), 4),
        },
        "peak_mib": round(peak / 1024, 1),
        "mib_more_than_before": round((peak - before) / 1024, 1),
    }
