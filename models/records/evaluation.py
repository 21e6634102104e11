"""What models.evaluate prints: the accuracy of a bundle, its images and its engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from models.records.typed_json import Finite, OptionalFinite


@dataclass(frozen=True)
class Among:
    """Accuracy among the data's classes alone, in percent."""

    classes: int
    top1: Finite
    top5: Finite


@dataclass(frozen=True)
class HedgedAccuracy:
    """Of answers at one level of a bundle's hierarchy, as shares from 0 to 1: right ones; the
    information kept; answers that were the root, or a single label.
    """

    got: Finite
    information: Finite
    root: Finite
    label: Finite


@dataclass(frozen=True, kw_only=True)
class BundleAccuracy:
    """Of all classes that a bundle knows; in percent, but for the loss.

    balanced_top1: the mean of the classes' shares of right answers. calibration_error: without the
    bundle's temperature. among: where the bundle knows more classes than the data has. What older
    answers lack is None.
    """

    top1: Finite
    top5: Finite
    loss: OptionalFinite = None
    images: int
    balanced_top1: OptionalFinite = None
    calibration_error: OptionalFinite = None
    temperature: OptionalFinite = None
    calibration_error_with_temperature: OptionalFinite = None
    engine: str | None = None
    among: Annotated[Among | None, Field(exclude_if=lambda among: among is None)] = None


@dataclass(frozen=True, kw_only=True)
class Evaluation(BundleAccuracy):
    """With what it is of: a bundle, images of a data set (SHA-256) and how they were seen; and by
    which code, on which device, when, in how many seconds it was measured. stability: percent of
    the images with the same best label after one level more or less in a hundredth of the values.
    hedged: by the certainty that was asked, such as "0.95".
    """

    bundle: str
    trained_on: str
    data: str
    split: str = "test"
    sha256: str
    resize: int
    seen_at: int | None = None
    color_jitter: Finite = 0.0
    stability: Annotated[Finite | None, Field(exclude_if=lambda stability: stability is None)] = (
        None
    )
    hedged: Annotated[
        dict[str, HedgedAccuracy] | None, Field(exclude_if=lambda hedged: hedged is None)
    ] = None
    commit: str | None
    version: str | None = None
    device: str
    started: str
    seconds: Finite
