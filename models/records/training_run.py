"""What a training run is: the same in its checkpoints and in its record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from models.records.figures import Adaptation, Averaging, FinalAccuracy, Remade, Temperature
from models.records.typed_json import is_none
from runtime import Preprocessing

Changes = dict[str, bool | int | float | str]  # fields of a network's spec, of a recipe


@dataclass(frozen=True)
class Split:
    """Images of a split of the data, before any are left out; None in checkpoints of before."""

    images: int | None
    sha256: str


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """What a run is trained on; `skipped` has a line for each damaged file."""

    name: str
    splits: Annotated[dict[str, Split], Field(alias="parts")]
    classes: tuple[str, ...]
    labels: tuple[str, ...]
    train_images: int
    validation_images: int
    skipped: tuple[str, ...]

    def digests(self) -> dict[str, str]:
        """SHA-256 of each split's images."""
        return {name: split.sha256 for name, split in self.splits.items()}


@dataclass(frozen=True, kw_only=True)
class Header:
    """What is trained, on what, where and by which code."""

    data: TrainingData
    network: str
    changes: Changes
    preprocessing: Preprocessing
    stored_side: int
    teacher: str | None
    start: str | None = None
    device: str
    threads: int
    processes: int
    execution: Changes
    torch: str
    commit: str | None
    version: str | None


@dataclass(frozen=True, kw_only=True)
class TrainingRun(Header):
    """A run, with its final figures if it has finished."""

    started: str
    test: FinalAccuracy | None
    calibration: Temperature | None
    adaptation: Annotated[Adaptation | None, Field(alias="enlarged")] = None
    averaging: Annotated[Averaging | None, Field(alias="averaged", exclude_if=is_none)] = None

    @property
    def remade(self) -> Remade | None:
        """What was done to the network after its training."""
        return self.adaptation or self.averaging
