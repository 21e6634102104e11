"""How well a bundle tells images of its labels from others: fitted, and measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.data.datasets import DataSet
from models.data.decoded import decode_images
from models.data.image_files import ImageFiles
from models.data.others import FAR, NEAR, OTHERS, keep_classes
from models.data.splits import split_off
from models.errors import DataError
from models.evaluation.accuracy import (
    find_classes,
    find_columns,
    find_data_name,
    predict_by_engine,
)
from models.evaluation.metrics import (
    calibration_error,
    count_confusion,
    measure,
    measure_classes,
)
from models.records.known import Area, HeldOutFigures
from runtime import Engine, Known, KnownFigures, Manifest
from runtime.known import Source, find_evidence

SURE = 0.9  # a best score from which on an answer looks like a sure one
MOST_THRESHOLD = 1 - 1e-6
ITERATIONS = 200  # of L-BFGS, at most
LEVEL = 0.95  # of confidence intervals

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """Logits [N, logits] to images of labels, with those labels; to far others; to near others."""

    logits: Tensor
    truth: Tensor  # int64 [N]
    far: Tensor
    near: Tensor

    def count(self) -> dict[str, int]:
        """How many images there are of each kind."""
        return {
            "images_known": len(self.logits),
            "images_far": len(self.far),
            "images_near": len(self.near),
        }


def split_to_fit(data: DataSet) -> tuple[ImageFiles, ImageFiles]:
    """The images to fit on, and those to measure on: without val/ each half of test/, by content.

    Raises DataError.
    """
    if data.test is None:
        raise DataError(f"{data.name}: expected test/ or val/ in it; found neither")
    if data.validation is not None:
        return data.validation, data.test
    rest, held = split_off(data.test, 0.5)
    return rest, held


def predict_answers(
    engine: Engine,
    files: ImageFiles,
    labels: Sequence[str],
    progress: bool = False,
    *,
    classes: Sequence[str] = (),
    needs_others: bool = True,
) -> Answers:
    """The engine's answers to images in folders called like its classes, and like those of OTHERS.

    labels: names for people of the files' classes; classes: how the files call the bundle's labels,
    if not as its training did. Raises DataError if the bundle lacks a class, or if there are no
    images of labels, or none of others where those are needed.
    """
    manifest = engine.bundle.manifest
    if classes:
        manifest = replace(manifest, training={"classes": list(classes)})
    known, spec = find_classes(manifest), manifest.preprocessing
    others = [name for name in files.classes if name in OTHERS and name not in known]
    kinds = [name for name in files.classes if name not in others]
    names = [label for label, name in zip(labels, files.classes, strict=True) if name in kinds]
    columns = find_columns(manifest, kinds, names) if kinds else []

    def answer(wanted: Sequence[str]) -> tuple[Tensor, Tensor]:
        some = keep_classes(files, tuple(name for name in files.classes if name in wanted))
        if not len(some):
            return torch.zeros(0, manifest.logits), torch.zeros(0, dtype=torch.int64)
        images = decode_images(some, spec, progress=progress)
        return predict_by_engine(engine, images, spec, progress=progress), images.labels

    logits, truth = answer(kinds)
    far, near = (answer([n for n in others if n in names])[0] for names in (FAR, NEAR))
    if not len(logits) or (needs_others and not len(far) + len(near)):
        wanted = f", and of others in folders called {', '.join(OTHERS)}" if needs_others else ""
        raise DataError(
            f"expected images of classes that the network was trained on "
            f"({find_data_name(engine.bundle.manifest)}){wanted}; found {len(logits)} and "
            f"{len(far) + len(near)}. Add some."
        )
    return Answers(logits, torch.tensor(columns)[truth], far, near)


def fit_known(answers: Answers, source: Source, classes: int, keep: float) -> Known:
    """Slope and offset by Platt scaling, images of labels and others weighing alike; the threshold
    keeps a share `keep` of the images of labels.

    Raises DataError if the evidence is no larger for images of labels than for others.
    """
    evidence, others = (
        collect_evidence(logits, source, classes)
        for logits in (answers.logits, torch.cat([answers.far, answers.near]))
    )
    slope, offset = fit_platt(evidence, others)
    if not slope > 0:
        raise DataError(
            "expected logits that speak more for labels in images of labels than in others; found "
            f"the contrary (slope {slope:.3g}). Train the network, or look at the images."
        )
    known = Known(source, slope, offset, 0.5)
    values = np.sort(estimate_all(known, evidence))
    lowest = float(values[math.floor((1 - keep) * len(values))])
    return Known(source, slope, offset, min(max(lowest, 1 - MOST_THRESHOLD), MOST_THRESHOLD))


def fit_platt(evidence: Values, others: Values) -> tuple[float, float]:
    """Slope and offset of logistic regression on one variable, both groups weighing alike.

    Targets are those of Platt 1999, (n + 1) / (n + 2) and 1 / (n + 2) with n the images of a group:
    where one threshold separates all of them the slope stays finite.
    """
    values = torch.from_numpy(np.concatenate([evidence, others]))
    counts = (len(evidence), len(others))
    yes, no = (counts[0] + 1) / (counts[0] + 2), 1 / (counts[1] + 2)
    targets = torch.cat([torch.full((n,), t) for n, t in zip(counts, (yes, no), strict=True)])
    weights = torch.cat([torch.full((n,), 0.5 / n) for n in counts])
    mean, deviation = values.mean(), values.std(correction=0).clamp(min=1e-12)
    scaled = (values - mean) / deviation
    factors = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [factors], max_iter=ITERATIONS, tolerance_grad=1e-10, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.binary_cross_entropy_with_logits(
            factors[0] * scaled + factors[1], targets.double(), weights.double(), reduction="sum"
        )
        value.backward()
        return value

    optimizer.step(loss)
    slope, offset = (factors.detach() / torch.tensor([deviation, 1.0])).tolist()
    return slope, offset - slope * float(mean)


def collect_evidence(logits: Tensor, source: Source, classes: int) -> Values:
    """s of each image as a manifest's `known` has it, float64 [N]; energy is of `classes` alone."""
    array = logits.numpy()
    return find_evidence(array if source == "other" else array[:, :classes], source)


def estimate_all(known: Known, evidence: Values) -> Values:
    """`known` of images by their evidence."""
    return 0.5 + 0.5 * np.tanh((known.slope * evidence + known.offset) / 2)


def measure_auroc(higher: Values, lower: Values) -> Area | None:
    """The area under the ROC curve of images that should have higher values; None of no images.

    With the interval of DeLong et al. 1988, cut to 0..1; of few images, or an area of 1, it is too
    narrow.
    """
    if not len(higher) or not len(lower):
        return None
    wins, losses = _share_below(higher, lower), 1 - _share_below(lower, higher)
    area = float(wins.mean())
    variance = sum(float(x.var(ddof=1)) / len(x) for x in (wins, losses) if len(x) > 1)
    reach = NormalDist().inv_cdf((1 + LEVEL) / 2) * math.sqrt(variance)
    low, high = max(area - reach, 0.0), min(area + reach, 1.0)
    return Area(round(area, 5), round(low, 5), round(high, 5))


def _share_below(values: Values, others: Values) -> Values:
    """Of each value, the share of others below it; equal ones count half."""
    in_order = np.sort(others)
    below = [np.searchsorted(in_order, values, side) for side in ("left", "right")]
    shares: Values = (below[0] + below[1]) / (2 * len(others))
    return shares


def measure_known(answers: Answers, manifest: Manifest) -> HeldOutFigures:
    """Figures of a bundle with `known`: accuracy of images of labels, in percent; and how others
    are told from them, as shares and areas from 0 to 1.
    """
    known, classes = manifest.known, manifest.classes
    assert known is not None
    logits, truth = answers.logits[:, :classes], answers.truth
    confusion = count_confusion(logits, truth).double()
    hits, images = confusion.diag(), confusion.sum(1)
    by_label = {
        label: round(100 * float(hits[i] / images[i]), 2)
        for i, label in enumerate(manifest.labels)
        if images[i]
    }
    groups = {"known": answers.logits, "far": answers.far, "near": answers.near}
    values = {
        name: estimate_all(known, collect_evidence(group, known.source, classes))
        for name, group in groups.items()
    }
    scores = (answers.far[:, :classes].double() / manifest.temperature).softmax(1)
    sure = scores.max(1).values.numpy() >= SURE
    sources: list[Source] = ["other", "energy"] if known.source == "other" else ["energy"]
    areas: dict[str, dict[Source, Area | None]] = {"far": {}, "near": {}}
    for source in sources:
        evidence = {n: collect_evidence(group, source, classes) for n, group in groups.items()}
        for name, by_source in areas.items():
            by_source[source] = measure_auroc(evidence["known"], evidence[name])
    return HeldOutFigures(
        **answers.count(),
        top1=measure(logits, truth).top1,
        balanced_top1=measure_classes(logits, truth),
        top1_by_label=by_label,
        calibration_error=calibration_error(logits, truth, manifest.temperature),
        kept=_share(values["known"] >= known.threshold),
        kept_far=_share(values["far"] >= known.threshold),
        kept_near=_share(values["near"] >= known.threshold),
        false_far=_share((values["far"] > 0.5) & sure),
        auroc_far=areas["far"],
        auroc_near=areas["near"],
    )


def summarize(figures: HeldOutFigures, source: Source, data: str, sha256: str) -> KnownFigures:
    """What a manifest keeps of the figures of measure_known."""
    far, near = figures.auroc_far[source], figures.auroc_near[source]
    return KnownFigures(
        auroc_far=None if far is None else far.value,
        auroc_near=None if near is None else near.value,
        false_far=figures.false_far,
        images_known=figures.images_known,
        images_far=figures.images_far,
        images_near=figures.images_near,
        data=data,
        sha256=sha256,
    )


def _share(chosen: NDArray[np.bool_]) -> float | None:
    return round(float(chosen.mean()), 5) if len(chosen) else None
