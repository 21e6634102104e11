"""How likely an image shows one of a network's labels at all, as a manifest's `known` says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, get_args

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InvalidManifest

Source = Literal["other", "energy"]
SOURCES: tuple[Source, ...] = get_args(Source)

_MAX_NUMBER = 1e6  # of slope and offset
_MAX_TEXT = 200


@dataclass(frozen=True)
class KnownFigures:
    """How well images of the labels and others are told apart, on images that fitted nothing.

    auroc_far, auroc_near: the area under the ROC curve, 0..1, against images of far and of near
    kinds; false_far: the share of far images with known above 0.5 and a best score of 0.9 or more.
    None: there were no such images. data and sha256: which images. Raises InvalidManifest.
    """

    auroc_far: float | None
    auroc_near: float | None
    false_far: float | None
    images_known: int
    images_far: int
    images_near: int
    data: str
    sha256: str

    def __post_init__(self) -> None:
        counts = {"far": self.images_far, "near": self.images_near, "known": self.images_known}
        for kind, count in counts.items():
            if type(count) is not int or not 0 <= count < 2**63:
                _refuse(f"measured.images_{kind}", "a whole number", count)
        for name, kind in (("auroc_far", "far"), ("auroc_near", "near"), ("false_far", "far")):
            value, there = getattr(self, name), counts["known"] and counts[kind]
            if value is None and not there:
                continue
            if not _is_number(value) or not 0 <= value <= 1:
                _refuse(f"measured.{name}", "a share from 0 to 1, null without images", value)
        for name in ("data", "sha256"):
            text = getattr(self, name)
            if not isinstance(text, str) or not text.isprintable() or len(text) > _MAX_TEXT:
                _refuse(f"measured.{name}", f"up to {_MAX_TEXT} printable characters", text)


@dataclass(frozen=True)
class Known:
    """known = 1 / (1 + exp(-(slope * s + offset))) of an image, by the evidence s in its logits.

    s is the logarithm of the sum of exp(logit) over the labels; with the source "other" the network
    has one logit more, the last one, for "none of these", which is subtracted. The temperature of
    scores does not apply. An image with known below the threshold probably shows no label. Raises
    InvalidManifest.
    """

    source: Source
    slope: float
    offset: float
    threshold: float
    measured: KnownFigures | None = None

    def __post_init__(self) -> None:
        if self.source not in SOURCES:
            _refuse("source", f"one of {', '.join(SOURCES)}", self.source)
        if not _is_number(self.slope) or not 0 < self.slope <= _MAX_NUMBER:
            _refuse("slope", f"a number above 0, at most {_MAX_NUMBER:g}", self.slope)
        if not _is_number(self.offset) or not abs(self.offset) <= _MAX_NUMBER:
            _refuse("offset", f"a number of at most {_MAX_NUMBER:g}", self.offset)
        if not _is_number(self.threshold) or not 0 < self.threshold < 1:
            _refuse("threshold", "a number between 0 and 1", self.threshold)

    @property
    def extra_logits(self) -> int:
        """How many logits the network has beyond those of its labels."""
        return int(self.source == "other")

    def estimate(self, logits: NDArray[np.floating[Any]]) -> float:
        """`known` of one image, 0..1, by its logits [labels + extra_logits], all finite."""
        evidence = float(find_evidence(logits, self.source))
        return 0.5 + 0.5 * math.tanh((self.slope * evidence + self.offset) / 2)


def find_evidence(logits: NDArray[np.floating[Any]], source: Source) -> NDArray[np.float64]:
    """s of each image, by logits [..., labels + extra_logits], all finite: float64 [...]."""
    values = np.asarray(logits, np.float64)
    labels = values[..., :-1] if source == "other" else values
    largest = labels.max(axis=-1)
    sums = np.exp(labels - largest[..., np.newaxis]).sum(axis=-1)
    evidence: NDArray[np.float64] = largest + np.log(sums)
    return evidence - values[..., -1] if source == "other" else evidence


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _refuse(name: str, expected: str, found: object) -> NoReturn:
    raise InvalidManifest(
        f"known.{name}: expected {expected}; found {str(found)[:60]}. Re-export the bundle."
    )
