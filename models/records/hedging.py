"""What models.hedge prints: how often hedged answers of a bundle are right, level by level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from models.records.figures import HeldOutImages
from models.records.typed_json import Finite, OptionalFinite


@dataclass(frozen=True, kw_only=True)
class Answering:
    """Shares from 0 to 1 of the images' answers: right ones, with the 95 % interval; information
    kept of log2(labels); the root; a single label.
    """

    images: int
    got: Finite
    interval: tuple[Finite, Finite]
    information: Finite
    root: Finite
    label: Finite


@dataclass(frozen=True, kw_only=True)
class PlainAnswering(Answering):
    """The best label from a score on, and the root below it; None: always the root."""

    threshold: Finite | None


@dataclass(frozen=True, kw_only=True)
class HedgedLevel(Answering):
    """With the certainty that was asked, its lambda (None: always the root), the plain answer, and
    shares of images of other things, where there are any.
    """

    certainty: Finite
    bonus: Annotated[Finite | None, Field(alias="lambda")]
    plain: PlainAnswering
    root_far: OptionalFinite = None
    label_far: OptionalFinite = None
    root_near: OptionalFinite = None
    label_near: OptionalFinite = None


@dataclass(frozen=True, kw_only=True)
class HedgedRecord:
    """A fitted bundle. top1: the share of best labels that are right; answer_us: the median of
    microseconds that one answer takes by the scores of all labels.
    """

    bundle: str
    labels: int
    nodes: int
    temperature: Finite
    fitted_on: HeldOutImages
    measured_on: HeldOutImages
    top1: Finite
    answer_us: Finite
    levels: tuple[HedgedLevel, ...]
    data: str
    engine: str
    commit: str | None
    version: str | None = None
    device: str
    hierarchy_sha256: str
