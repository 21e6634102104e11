"""Finished training runs, read from their records: what reports and comparisons are made of."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import torch

from models.errors import DataError
from models.networks.binary import LATENT
from models.networks.counts import Counts, count
from models.networks.registry import build_network, describe_network
from models.records.figures import FinalAccuracy
from models.records.record import RECORD, Record, read_record
from models.report.latency import is_served
from models.training.recipe import Recipe
from runtime.images import Preprocessing


@dataclass(frozen=True)
class Run:
    """One finished run and its folder's name."""

    name: str
    folder: Path
    record: Record

    @property
    def data(self) -> str:
        return self.record.data.name

    @property
    def test(self) -> FinalAccuracy:
        """Raises DataError if the run has not ended."""
        if not self.record.finished or self.record.test is None:
            raise DataError(
                f"{self.folder}: expected a finished run, found an unfinished one; "
                "finish it (models.train --resume) or remove it"
            )
        return self.record.test

    @property
    def test_sha256(self) -> str | None:
        """Of the images it was tested on; None if the set has no test split."""
        return self.record.data.digests().get("test")

    @cached_property
    def recipe(self) -> Recipe:
        """Every field: what an older record lacks had its default. Raises DataError."""
        recipe = self.record.recipe
        if unknown := recipe.keys() - asdict(Recipe()).keys():
            raise DataError(
                f"{self.folder}: expected a recipe of models.training.recipe; found also "
                f"{', '.join(sorted(unknown))}. Use the code that trained it, or a newer one."
            )
        return Recipe(**recipe)  # type: ignore[arg-type] # which checks every field

    @cached_property
    def identity(self) -> dict[str, object]:
        """All that decides the outcome, but for the seed: equal runs are repetitions."""
        record = self.record
        data = {
            "data": self.data,
            "parts": record.data.splits,
            "train_images": record.data.train_images,  # copies of others may be left out
        }
        how = {
            "processes": record.processes,
            "stored_side": record.stored_side,
            "preprocessing": record.preprocessing,
            "trained_as": self.trained_as,
        }
        what = {"network": self.network, "teacher": self.teacher, "start": self.start}
        recipe = {key: value for key, value in asdict(self.recipe).items() if key != "seed"}
        return {**data, **how, **what, **record.changes, **recipe}

    @property
    def network(self) -> str:
        return self.record.network

    @property
    def side(self) -> int:
        """Of the input, in pixels."""
        return self.record.preprocessing.crop

    @property
    def trained_as(self) -> Preprocessing:
        """The preprocessing of the training, before models.enlarge."""
        adaptation = self.record.adaptation
        return adaptation.trained_as if adaptation else self.record.preprocessing

    @property
    def shift(self) -> float:
        return float(self.record.changes.get("shift", 0.0))

    @property
    def has_improvement(self) -> bool:
        """Whether it has improvement blocks: a BinaryDenseNet has none."""
        return bool(self.record.changes.get("improvement", self.network.startswith("melius")))

    @property
    def is_full_precision(self) -> bool:
        return not is_served(self.record)

    @property
    def is_binary(self) -> bool:
        return self.counts.binary_macs > 0

    @property
    def is_mobilenet(self) -> bool:
        return self.network.startswith("mobilenet")

    @property
    def teacher(self) -> str | None:
        return self.record.teacher

    @property
    def start(self) -> str | None:
        """The initial weights, if they were not random."""
        return self.record.start

    @property
    def validation_top1(self) -> float | None:
        """Percent, of the network as it is served: after the last epoch, or as it was remade."""
        if remade := self.record.remade:
            return remade.validation.top1 if remade.validation else None
        epochs = self.record.epochs  # none, where the last layer alone was fitted
        return epochs[-1].validation_top1 if epochs else None

    @property
    def test_images(self) -> int:
        return self.test.images

    @property
    def test_top1(self) -> float:
        """Percent."""
        return self.test.top1

    @property
    def class_count(self) -> int:
        return len(self.record.data.classes)

    @cached_property
    def counts(self) -> Counts:
        """Sizes and operations of the network, counted on its modules."""
        record = self.record
        with torch.device("meta"):
            network = build_network(record.network, len(record.data.classes), **record.changes)
        return count(network, self.side)

    def describe(self) -> str:
        """Network, and what differs from its default."""
        recipe = self.recipe
        text = describe_network(self.network, self.record.changes)
        if self.start:
            text += f", initialised from {self.start.partition(' (')[0]}"
        if self.side > self.trained_as.crop:
            text += f", trained at {self.trained_as.crop} pixels"
        if self.shift:
            text += f", shift {self.shift:+g}"
        if recipe.distillation:
            text += f", distilled ({recipe.distillation:g})"
        changes = {
            "colour jitter": recipe.color_jitter,
            "blur": recipe.blur,
            "CutMix": recipe.cutmix,
            "noise": recipe.noise,
            "EMA": recipe.ema,
            "share of other": recipe.other_share,
            "crops": recipe.crops if recipe.crops > 1 else 0,
            "latent weights of": recipe.latent if recipe.latent != LATENT else 0,
        }
        if recipe.epochs:  # else the last layer is fitted to all images as they are
            text += "".join(f", {name} {value:g}" for name, value in changes.items() if value)
        return text


def read_runs(folder: Path) -> list[Run]:
    """The finished runs, by data set, then the best first. Raises DataError if there are none."""
    runs = [
        Run(path.parent.name, path.parent, read_record(path))
        for path in sorted(folder.glob(f"*/{RECORD}"))
    ]
    if not runs:
        raise DataError(f"{folder}: expected folders of runs with a record.json, found none")
    return sorted(runs, key=lambda run: (run.data, -run.test.top1, run.name))
