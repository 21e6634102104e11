"""What models.known prints: how a bundle fares on images of its labels and of other things."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from models.records.figures import HeldOutImages
from models.records.typed_json import Finite, is_none
from runtime.known import Source


@dataclass(frozen=True)
class Area:
    """Under a ROC curve, with its 95 % interval."""

    value: Finite
    low: Finite
    high: Finite


@dataclass(frozen=True, kw_only=True)
class HeldOutFigures:
    """Of images of labels, in percent: accuracy. Shares and areas, of all images, from 0 to 1."""

    images_known: int
    images_far: int
    images_near: int
    top1: Finite
    balanced_top1: Finite
    top1_by_label: dict[str, Finite]
    calibration_error: Finite
    kept: Finite | None
    kept_far: Finite | None
    kept_near: Finite | None
    false_far: Finite | None
    auroc_far: dict[Source, Area | None]
    auroc_near: dict[Source, Area | None]


@dataclass(frozen=True, kw_only=True)
class KnownRecord:
    """What was fitted, and what was measured on other images.

    validation: figures of the images that it was fitted on, to compare networks by before the
    others are looked at; None in records of before.
    """

    bundle: str
    source: Source
    slope: Finite
    offset: Finite
    threshold: Finite
    temperature: Finite
    fitted_on: HeldOutImages
    validation: Annotated[HeldOutFigures | None, Field(exclude_if=is_none)] = None
    test: HeldOutFigures
    data: str
    sha256: str
    engine: str
    commit: str | None
    version: str | None
    device: str
