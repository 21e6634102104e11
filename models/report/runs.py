"""Finished training runs, read from their records: what reports and comparisons are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from models.errors import DataError
from models.networks.counts import Counts, count
from models.networks.registry import build_network, describe_network
from models.records.record import read_record
from models.report.latency import is_served
from models.training.recipe import Recipe


@dataclass(frozen=True)
class Run:
    """One finished run and its folder's name."""

    name: str
    folder: Path
    record: Mapping[str, Any]

    @property
    def data(self) -> str:
        return str(self.record["data"]["name"])

    @property
    def test(self) -> Mapping[str, Any]:
        return self.record["test"]  # type: ignore[no-any-return]

    @property
    def test_sha256(self) -> str | None:
        """Of the pictures it was tested on; None where the set has no test part."""
        return self.record["data"]["parts"].get("test", {}).get("sha256")  # type: ignore[no-any-return]

    @cached_property
    def recipe(self) -> Mapping[str, Any]:
        """Every field: what an older record lacks had its default. Raises DataError."""
        recipe = self.record["recipe"]
        if unknown := recipe.keys() - asdict(Recipe()).keys():
            raise DataError(
                f"{self.folder}: expected a recipe of models.training.recipe; found also "
                f"{', '.join(sorted(unknown))}. Use the code that trained it, or a newer one."
            )
        return asdict(Recipe(**recipe))

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that decides the outcome, but for the seed: equal runs are repetitions."""
        record = self.record
        data = {"data": self.data, "parts": record["data"]["parts"]}
        data["train_images"] = record["data"]["train_images"]  # copies of others may be left out
        how = {key: record.get(key) for key in ("processes", "stored_side", "preprocessing")}
        how["trained_as"] = self.trained_as
        what = {"network": self.network, "teacher": self.teacher, "start": self.start}
        recipe = {key: value for key, value in self.recipe.items() if key != "seed"}
        return {**data, **how, **what, **record["changes"], **recipe}

    @property
    def network(self) -> str:
        return str(self.record["network"])

    @property
    def side(self) -> int:
        """Of the input, in pixels."""
        return int(self.record["preprocessing"]["crop"])

    @property
    def trained_as(self) -> Mapping[str, Any]:
        """The preprocessing of the training, before models.enlarge."""
        enlarged = self.record.get("enlarged")
        return enlarged["from"] if enlarged else self.record["preprocessing"]  # type: ignore[no-any-return]

    @property
    def shift(self) -> float:
        return float(self.record["changes"].get("shift", 0.0))

    @property
    def has_improvement(self) -> bool:
        """Whether it is no BinaryDenseNet and no twin without improvement blocks."""
        return bool(self.record["changes"].get("improvement", self.network.startswith("melius")))

    @property
    def is_float_twin(self) -> bool:
        return not is_served(self.record)

    @property
    def is_binary(self) -> bool:
        return self.counts.binary_macs > 0

    @property
    def is_mobilenet(self) -> bool:
        return self.network.startswith("mobilenet")

    @property
    def teacher(self) -> str | None:
        return self.record["teacher"]  # type: ignore[no-any-return]

    @property
    def start(self) -> str | None:
        """What it began with, if not with random weights."""
        return self.record.get("start")

    @property
    def validation_top1(self) -> float | None:
        """Percent, of the network as it is served: after the last epoch, or models.enlarge."""
        if enlarged := self.record.get("enlarged"):
            return (enlarged["validation"] or {}).get("top1")
        epochs = self.record["epochs"]  # none, where the last layer alone was fitted
        return epochs[-1].get("validation_top1") if epochs else None

    @property
    def test_images(self) -> int:
        return int(self.test["images"])

    @property
    def test_top1(self) -> float:
        """Percent."""
        return float(self.test["top1"])

    @property
    def class_count(self) -> int:
        return len(self.record["data"]["classes"])

    @cached_property
    def counts(self) -> Counts:
        """Sizes and operations of the network, counted on its modules."""
        with torch.device("meta"):
            network = build_network(
                self.record["network"],
                len(self.record["data"]["classes"]),
                **self.record["changes"],
            )
        return count(network, self.side)

    def describe(self) -> str:
        """Network, and what differs from its default."""
        text = describe_network(self.network, self.record["changes"])
        if self.start:
            text += f", begun with {self.start.partition(' (')[0]}"
        if self.side > self.trained_as["crop"]:
            text += f", trained at {self.trained_as['crop']} pixels"
        if self.shift:
            text += f", shift {self.shift:+g}"
        if self.recipe["distillation"]:
            text += f", distilled ({self.recipe['distillation']:g})"
        changes = {"colour jitter": self.recipe["color_jitter"], "blur": self.recipe["blur"]}
        if self.recipe["epochs"]:  # else pictures are seen as they are
            text += "".join(f", {name} {value:g}" for name, value in changes.items() if value)
        return text


def read_runs(folder: Path) -> list[Run]:
    """The finished runs, by data set, then the best first. Raises DataError if there are none."""
    runs = [
        Run(path.parent.name, path.parent, read_record(path))
        for path in sorted(folder.glob("*/record.json"))
    ]
    for run in runs:
        if not run.record["finished"] or not run.record["test"]:
            raise DataError(
                f"{run.folder}: expected a run that has ended with its test, found one that has "
                "not; finish it (models.train --resume) or remove it"
            )
    if not runs:
        raise DataError(f"{folder}: expected folders of runs with a record.json, found none")
    return sorted(runs, key=lambda run: (run.data, -run.test["top1"], run.name))
