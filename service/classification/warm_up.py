"""Runs everything once before the first request, and measures the best size of a unit."""

import io
from dataclasses import dataclass
from random import Random
from time import perf_counter

import numpy as np
import numpy.typing as npt
from PIL import Image

from runtime import InvalidInput
from service.classification.classifier import Classifier
from service.classification.predictor import Predictor

UNITS = (2, 4, 8)
_MIN_GAIN = 1.05  # of images a second, for which it pays to compute several together
_ROUNDS = 3  # too few of them favour one image: it is over before other programs get their turn
_MAX_SECONDS = 0.3  # for the comparison
_FOR_SLOW = ((8,), (4,))  # networks that take longer for all units: one of them, if that fits
_PHOTOS = ((64, 64), (1024, 768))


@dataclass(frozen=True)
class WarmUp:
    """The result: images to compute together, and the speed of each number of images."""

    unit: int
    gains: dict[int, float]


def warm_up(classifier: Classifier, threads: int, predictor: Predictor) -> WarmUp:
    """Runs generated photos through everything, so that no request is slowed by first times.

    Raises:
        InvalidInput: preprocessing, network and labels of the bundle do not fit each other.
    """
    tensor = None
    for width, height in _PHOTOS:
        data = _make_photo(width, height)
        classifier.prepare(data)
        for used in sorted({1, threads}, reverse=True):
            began = perf_counter()
            tensor = classifier.prepare(data).tensor
            logits, _ = classifier.infer(tensor[np.newaxis], used)
            predictor.learn(len(data), perf_counter() - began)
    assert tensor is not None
    manifest = classifier.manifest
    if logits.shape != (1, manifest.logits):
        more = " and one for none of them" if manifest.logits > manifest.classes else ""
        raise InvalidInput(
            f"expected one logit for each of {manifest.classes} labels{more}; the network "
            f"answers {list(logits.shape[1:])}. Re-export the bundle."
        )
    classifier.rank(logits[0], 1)
    gains = _measure_gains(classifier, tensor)
    best = max(gains, key=lambda unit: gains[unit], default=1)
    return WarmUp(best if gains.get(best, 0) >= _MIN_GAIN else 1, gains)


def _measure_gains(classifier: Classifier, tensor: npt.NDArray[np.float32]) -> dict[int, float]:
    """Images together -> speed relative to one after another, on one thread, in turns."""
    alone = _time(classifier, tensor, 1)
    fitting = (
        units
        for units in (UNITS, *_FOR_SLOW)  # most first
        if alone * _ROUNDS * (1 + sum(units)) <= _MAX_SECONDS
    )
    units = next(fitting, ())
    if not units:
        return {}
    for unit in units:  # the first run of a size may have to set up its memory
        _time(classifier, tensor, unit)
    rounds = [[_time(classifier, tensor, unit) for unit in (1, *units)] for _ in range(_ROUNDS)]
    quickest = (min(times) for times in zip(*rounds, strict=True))  # the rest is other programs'
    seconds = {unit: time / unit for unit, time in zip((1, *units), quickest, strict=True)}
    return {unit: seconds[1] / seconds[unit] for unit in units}


def _time(classifier: Classifier, tensor: npt.NDArray[np.float32], unit: int) -> float:
    _, seconds = classifier.infer(np.repeat(tensor[np.newaxis], unit, axis=0), 1)
    return seconds


def _make_photo(width: int, height: int) -> bytes:
    """A JPEG of smooth and fine structure, about as large as a photo of the same size."""
    size = max(2, width // 16), max(2, height // 16)
    pixels = Random(0).randbytes(3 * size[0] * size[1])  # numpy.random would be 3 MiB for this
    coarse = Image.frombytes("RGB", size, pixels)
    image = coarse.resize((width, height), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90)
    return stream.getvalue()
