"""Figures of a trained network: top-1, top-5, loss, confusion, calibration; all from its logits."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from models.data.augmentation import normalize
from models.data.decoded import LabelledImages
from models.networks.binary import BinaryActivation
from models.records.figures import Accuracy
from runtime.images import Preprocessing

Predict = Callable[[Tensor], Tensor]
BINS = 15  # of the calibration error, as in Guo et al. 2017


def predict_logits(
    predict: Predict,
    images: LabelledImages,
    preprocessing: Preprocessing,
    *,
    batch: int = 250,
    progress: bool = False,
) -> Tensor:
    """float32 [N, classes] on the CPU, of `predict`, [n, 3, S, S] -> [n, classes]."""
    parts = images.pixels.split(batch)
    bar = tqdm(parts, "measuring", disable=None if progress else True, unit="batch", leave=False)
    return torch.cat([predict(normalize(pixels, preprocessing)).float().cpu() for pixels in bar])


@torch.no_grad()
def evaluate(
    network: nn.Module,
    images: LabelledImages,
    preprocessing: Preprocessing,
    batch: int = 250,
) -> Accuracy:
    """`measure` of a network in eval mode, in float32, where binary sums are exact."""
    network.eval()
    return measure(predict_logits(network, images, preprocessing, batch=batch), images.labels)


def measure(logits: Tensor, labels: Tensor) -> Accuracy:
    """Top-1, top-5 and cross-entropy.

    Equal logits count for the lower index.
    """
    labels = labels.cpu()
    best = logits.argsort(dim=1, descending=True, stable=True)[:, :5]
    hit = best == labels[:, None]
    return Accuracy(
        top1=round(100 * hit[:, 0].double().mean().item(), 2),
        top5=round(100 * hit.any(1).double().mean().item(), 2),
        loss=round(F.cross_entropy(logits, labels).item(), 4),
        images=len(labels),
    )


def measure_classes(logits: Tensor, labels: Tensor) -> float:
    """Balanced accuracy in percent: the mean of the classes' accuracies.

    Each class that has images counts the same, however many it has.
    """
    matrix = count_confusion(logits, labels).double()
    images = matrix.sum(1)
    there = images > 0
    return round(100 * (matrix.diag()[there] / images[there]).mean().item(), 2)


@contextmanager
def watch_activations(network: nn.Module) -> Iterator[Callable[[], float | None]]:
    """Yields a function for the share of binary activations that were +1 so far.

    It returns None if there were none.
    """
    counted: list[tuple[int, Tensor]] = []

    def note(_: nn.Module, __: Any, output: Tensor) -> None:
        counted.append((output.numel(), (output >= 0).sum()))

    def share() -> float | None:
        total = sum(number for number, _ in counted)
        return sum(int(positive) for _, positive in counted) / total if total else None

    layers = [module for module in network.modules() if isinstance(module, BinaryActivation)]
    hooks = [layer.bn.register_forward_hook(note) for layer in layers]  # its sign is the activation
    try:
        yield share
    finally:
        for hook in hooks:
            hook.remove()


def count_confusion(logits: Tensor, labels: Tensor) -> Tensor:
    """int64 [classes, classes]: how often an image of the row was confused with the column."""
    classes = logits.shape[1]
    pairs = labels.cpu() * classes + logits.argmax(1)
    return torch.bincount(pairs, minlength=classes**2).view(classes, classes)


def write_confusion(path: Path, logits: Tensor, labels: Tensor, names: Sequence[str]) -> None:
    """The counts of `count_confusion` as CSV, names of classes in the first row and column."""
    matrix = count_confusion(logits, labels)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["true class \\ answer", *names])
        writer.writerows([name, *row] for name, row in zip(names, matrix.tolist(), strict=True))


def calibration_error(logits: Tensor, labels: Tensor, temperature: float = 1.0) -> float:
    """Expected calibration error in percent: how far the best score is from the share of hits.

    Guo et al. 2017: BINS equal bins of the score, weighted by their images.
    """
    scores, answers = (logits.double() / temperature).softmax(1).max(1)
    hits = (answers == labels.cpu()).double()
    bins = (scores * BINS).long().clamp(max=BINS - 1)
    zeros = torch.zeros(BINS, dtype=torch.float64)
    gap = zeros.index_add(0, bins, scores - hits).abs().sum()
    return round(100 * gap.item() / len(scores), 2)


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature T with the max likelihood of softmax(logits / T) (Guo et al. 2017), 0.05..20.

    One image of unknown class is added to those given, as in Platt 1999, so that a few images with
    right answers do not make a network certain. The loss is convex in 1 / T: the zero of its slope
    is found by bisection.
    """
    logits, labels = logits.double(), labels.cpu()
    unknown = 1 / (len(labels) + 1)
    truth = (1 - unknown) * logits.gather(1, labels[:, None]).squeeze(1)
    truth += unknown * logits.mean(1)

    def slope(inverse: float) -> float:
        return float(((logits * inverse).softmax(1).mul(logits).sum(1) - truth).mean())

    low, high = 1 / 20, 20.0
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return round(1 / low, 4)
