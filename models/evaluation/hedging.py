"""What a hierarchy's levels need so that answers are right as often as asked: fitted, and measured.

An answer is right if the image's label is among those that it covers. A level is fitted as Learn
then Test (Angelopoulos et al. 2021) does with a fixed sequence: from the root alone downwards the
answers become bolder for as long as a one-sided exact binomial test says, at every step, that the
share of right ones is at least as asked. So in at most RISK of all fits a level is too bold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from statistics import median
from time import perf_counter_ns
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.data.decoded import LabelledImages
from models.evaluation.accuracy import find_columns, predict_by_engine
from models.evaluation.known import Answers
from models.records.evaluation import HedgedAccuracy
from runtime import (
    Engine,
    HedgeFigures,
    Hedger,
    Hierarchy,
    Level,
    LevelFigures,
    Manifest,
    Preprocessing,
)

CERTAINTIES = (0.5, 0.8, 0.9, 0.95, 0.99)
RISK = 0.05
TIMED = 2000  # answers, at least
ROOT = math.inf  # the bonus, or the threshold, with which every answer is the root
BONUSES = (
    ROOT,
    *(float(f"{b:.5g}") for b in np.geomspace(1e5, 1e-2, 401)),
    0.0,
)  # from the most careful on
THRESHOLDS = (ROOT, *(round(t, 4) for t in np.linspace(1, 0, 401).tolist()))

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Answered:
    """Of images: labels covered by each answer, and whether the true one is among them."""

    covers: NDArray[np.int64]
    is_right: NDArray[np.bool_]


def score_all(logits: Any, manifest: Manifest) -> Values:
    """Scores [N, labels] at the manifest's temperature, of logits [N, logits] as a tensor."""
    scaled = logits[:, : manifest.classes].double() / manifest.temperature
    scores: Values = scaled.softmax(1).numpy()
    return scores


def hedge_all(
    hedger: Hedger, scores: Values, bonus: float, truth: NDArray[np.int64] | None = None
) -> Answered:
    """Answers of `Hedger.answer` to all images at once; without `truth` none is right."""
    count, labels = scores.shape
    if bonus == ROOT:
        return Answered(np.full(count, labels), np.full(count, truth is not None))
    worths = hedger.sum_scores(scores) * (hedger.information + bonus)
    nodes, best = worths.argmax(1), scores.argmax(1)
    rows = np.arange(count)
    is_label = scores[rows, best] * (hedger.bits + bonus) >= worths[rows, nodes]
    covers = np.where(is_label, 1, hedger.counts[nodes])
    if truth is None:
        return Answered(covers, np.zeros(count, np.bool_))
    return Answered(covers, np.where(is_label, best == truth, hedger.covered[nodes, truth]))


def answer_plainly(
    scores: Values, threshold: float, truth: NDArray[np.int64] | None = None
) -> Answered:
    """The best label from a score on, below it the root: what hedging is compared with."""
    is_label = scores.max(1) >= threshold
    covers = np.where(is_label, 1, scores.shape[1])
    if truth is None:
        return Answered(covers, np.zeros(len(scores), np.bool_))
    return Answered(covers, (scores.argmax(1) == truth) | ~is_label)


def fit_sequence(
    values: Sequence[float], answer: Callable[[float], Answered], asked: float
) -> float:
    """The last of `values`, from the most careful on, before the first that fails the test.

    ROOT if the second one fails: the first is the root, which is right without a test.
    """
    chosen = ROOT
    for value in values[1:]:
        is_right = answer(value).is_right
        if find_chance(int(is_right.sum()), len(is_right), asked) > RISK:
            break
        chosen = value
    return chosen


def find_chance(right: int, images: int, share: float) -> float:
    """The chance of so many right answers or more where this share is right: exact, binomial."""
    counts = range(right, images + 1)
    if not right:
        return 1.0
    logs = [
        math.lgamma(images + 1)
        - math.lgamma(k + 1)
        - math.lgamma(images - k + 1)
        + k * math.log(share)
        + (images - k) * math.log1p(-share)
        for k in counts
    ]
    return min(1.0, math.fsum(math.exp(value) for value in logs))


def fit_levels(
    hedger: Hedger, scores: Values, truth: NDArray[np.int64]
) -> tuple[tuple[Level, ...], tuple[float, ...]]:
    """A level for each of CERTAINTIES, and the threshold that a plain answer would need."""
    hedged = _remember(lambda bonus: hedge_all(hedger, scores, bonus, truth))
    plain = _remember(lambda threshold: answer_plainly(scores, threshold, truth))
    bonuses = [fit_sequence(BONUSES, hedged, asked) for asked in CERTAINTIES]
    levels = tuple(
        Level(asked, None if bonus == ROOT else bonus)
        for asked, bonus in zip(CERTAINTIES, bonuses, strict=True)
    )
    return levels, tuple(fit_sequence(THRESHOLDS, plain, asked) for asked in CERTAINTIES)


def measure_levels(
    hierarchy: Hierarchy,
    manifest: Manifest,
    answers: Answers,
    thresholds: Sequence[float] = (),
) -> list[dict[str, Any]]:
    """Figures of each level, as shares from 0 to 1, with the interval of Wilson 1927 for `got`.

    With thresholds also of the plain answer; with images of others, how often their answer was the
    root or a single label.
    """
    hedger = Hedger(hierarchy, manifest.labels)
    scores, truth = score_all(answers.logits, manifest), answers.truth.numpy()
    others = {"far": score_all(answers.far, manifest), "near": score_all(answers.near, manifest)}
    rows: list[dict[str, Any]] = []
    for i, level in enumerate(hierarchy.levels):
        bonus = ROOT if level.bonus is None else level.bonus
        row: dict[str, Any] = {"certainty": level.certainty, "lambda": level.bonus}
        row |= _describe(hedge_all(hedger, scores, bonus, truth), hedger.bits)
        for name, group in others.items():
            if len(group):
                covers = hedge_all(hedger, group, bonus).covers
                row[f"root_{name}"] = _share(covers == manifest.classes)
                row[f"label_{name}"] = _share(covers == 1)
        if thresholds:
            threshold = None if thresholds[i] == ROOT else thresholds[i]
            plain = _describe(answer_plainly(scores, thresholds[i], truth), hedger.bits)
            row["plain"] = {"threshold": threshold, **plain}
        rows.append(row)
    return rows


def measure_hedged(
    engine: Engine,
    images: LabelledImages,
    labels: Sequence[str],
    preprocessing: Preprocessing,
    progress: bool = True,
) -> dict[str, HedgedAccuracy]:
    """By certainty, of a bundle with a hierarchy; labels: the data's names for people.

    Raises DataError if the bundle lacks a class.
    """
    manifest = engine.bundle.manifest
    assert manifest.hierarchy is not None
    columns = torch.tensor(find_columns(manifest, images.classes, labels))
    logits = predict_by_engine(engine, images, preprocessing, progress=progress)
    answers = Answers(logits, columns[images.labels], logits[:0], logits[:0])
    names = [field.name for field in fields(HedgedAccuracy)]
    return {
        f"{row['certainty']:g}": HedgedAccuracy(**{name: row[name] for name in names})
        for row in measure_levels(manifest.hierarchy, manifest, answers)
    }


def find_top1(answers: Answers, classes: int) -> float:
    """The share of images whose best label is the true one."""
    best = answers.logits[:, :classes].argmax(1)
    return float((best == answers.truth).double().mean())


def time_answers(hierarchy: Hierarchy, scores: Values, labels: Sequence[str]) -> float:
    """Microseconds of one answer at the strictest level that is not the root alone, by the scores
    [N, labels] of images in turn: the median.
    """
    hedger, spent = Hedger(hierarchy, labels), []
    level = [level for level in hierarchy.levels if level.bonus is not None][-1:]
    for _ in range(-(-TIMED // len(scores))):
        for row in scores:
            began = perf_counter_ns()
            hedger.answer(row, (level or hierarchy.levels)[0])
            spent.append(perf_counter_ns() - began)
    return round(median(spent) / 1000, 2)


def summarize_levels(rows: Sequence[dict[str, Any]], data: str, sha256: str) -> HedgeFigures:
    """What a manifest keeps of the figures of measure_levels."""
    figures = tuple(
        LevelFigures(
            certainty=row["certainty"],
            got=row["got"],
            information=row["information"],
            root=row["root"],
            plain_got=row["plain"]["got"],
            plain_information=row["plain"]["information"],
        )
        for row in rows
    )
    return HedgeFigures(figures, rows[0]["images"], data, sha256)


def _remember(answer: Callable[[float], Answered]) -> Callable[[float], Answered]:
    found: dict[float, Answered] = {}

    def ask(value: float) -> Answered:
        if value not in found:
            found[value] = answer(value)
        return found[value]

    return ask


def _describe(answered: Answered, bits: float) -> dict[str, Any]:
    right, images = int(answered.is_right.sum()), len(answered.covers)
    kept = np.where(answered.is_right, bits - np.log2(answered.covers), 0.0) / bits
    return {
        "images": images,
        "got": round(right / images, 5),
        "interval": [round(bound, 5) for bound in find_interval(right, images)],
        "information": round(float(kept.mean()), 5),
        "root": _share(answered.covers == round(2**bits)),
        "label": _share(answered.covers == 1),
    }


def find_interval(right: int, images: int) -> tuple[float, float]:
    """The interval of Wilson 1927 around a share, at 95 %."""
    z = 1.959964
    share, weight = right / images, z * z / images
    middle = (share + weight / 2) / (1 + weight)
    reach = z * math.sqrt(share * (1 - share) / images + weight / (4 * images)) / (1 + weight)
    return max(middle - reach, 0.0), min(middle + reach, 1.0)


def _share(chosen: NDArray[np.bool_]) -> float:
    return round(float(chosen.mean()), 5)
