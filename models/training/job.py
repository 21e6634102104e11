"""What to train: a network on a data set, by a recipe, and how it is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.data.datasets import DataSet
from models.errors import RecipeError
from models.networks.registry import Network, build_network
from models.training.recipe import Recipe
from models.training.teachers_classes import TeachersClasses
from models.training.trainer import Execution


@dataclass(frozen=True)
class Job:
    """A network (and fields of its spec that differ) on a data set, by a recipe."""

    network: str
    data: DataSet
    out: Path
    recipe: Recipe = field(default_factory=Recipe)
    changes: Mapping[str, Any] = field(default_factory=dict)
    image_size: int | None = None  # side of the input; default: the network's
    resize: int | None = None  # shorter side before the centre crop when evaluating
    stored_side: int | None = None  # of the training images before augmentation
    execution: Execution = field(default_factory=Execution)
    device: str = "cpu"
    teacher: str | None = None
    answers: Path | None = None  # of teachers, stored by models.teach; beside one of the next two
    kinds: Path | None = None
    teachers_classes: TeachersClasses | None = None  # instead of the data's classes
    start: Path | None = None  # initial weights (models.pretrained)
    cache: Path | None = None
    workers: int = 2
    checkpoint_minutes: float = 10
    resume: bool = False
    skip_damaged: bool = False
    progress: bool = True

    @property
    def classes(self) -> tuple[str, ...]:
        """Of the student, as its data calls them."""
        taught = self.teachers_classes
        return tuple(self.data.train.classes) if taught is None else taught.names

    @property
    def labels(self) -> tuple[str, ...]:
        """The same, as people call them."""
        taught = self.teachers_classes
        return tuple(self.data.labels) if taught is None else taught.names


def build_network_of(job: Job) -> Network:
    """Untrained. Raises RecipeError."""
    try:
        return build_network(job.network, len(job.classes), **job.changes)
    except ValueError as error:
        raise RecipeError(str(error)) from error
