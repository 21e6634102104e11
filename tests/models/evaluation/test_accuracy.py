"""models.evaluation.accuracy: counts what the engine answers."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from models.data.augmentation import normalize
from models.data.datasets import open_data_set
from models.data.decoded import LabelledImages, decode_images
from models.errors import DataError
from models.evaluation.accuracy import (
    find_classes,
    measure_accuracy,
)
from models.records.evaluation import Among
from runtime import Engine, load_engine
from tests.models.checkpoints import export_trained
from tests.models.images import write_two_colours


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network whose classes are called like those of the data."""
    return export_trained(tmp_path_factory.mktemp("evaluate"))


def test_accuracy_counts_agreeing_answers(bundle: Path, tmp_path: Path) -> None:
    write_two_colours(tmp_path, test=11)
    engine = load_engine(bundle, "native")
    spec = engine.bundle.manifest.preprocessing
    files = open_data_set(tmp_path).test
    assert files is not None
    images = decode_images(files, spec)
    answers = engine.predict(normalize(images.pixels, spec).numpy()).argmax(1)
    right = int((answers == images.labels.numpy()).sum())
    figures = measure_accuracy(engine, images, batch=4, progress=False)
    assert figures.top1 == np.round(100 * right / 11, 2)
    assert figures.top5 == 100
    assert figures.images == 11
    assert (figures.engine or "").startswith("native/")


def test_other_classes_are_refused(bundle: Path) -> None:
    images = LabelledImages(
        torch.zeros(2, 3, 16, 16, dtype=torch.uint8), torch.arange(2), ("a", "b")
    )
    with pytest.raises(DataError, match=r"it lacks a, b\. Give the data"):
        measure_accuracy(load_engine(bundle, "native"), images)


def test_classes_are_those_of_the_training_data(bundle: Path) -> None:
    manifest = load_engine(bundle, "native").bundle.manifest
    assert find_classes(manifest) == ("blue", "red")
    named = replace(manifest, training={"classes": ["n1", "n2"]})
    assert find_classes(named) == ("n1", "n2")
    assert find_classes(replace(manifest, training=None)) == ("blue", "red")


class _Answers:
    """An engine of four classes that answers with given logits."""

    name, implementation = "given", "none"

    def __init__(self, engine: Engine, logits: list[list[float]]) -> None:
        manifest = replace(
            engine.bundle.manifest, labels=("a", "b, B", "c", "d"), training={}, temperature=1.0
        )
        self.bundle = replace(engine.bundle, manifest=manifest)
        self._logits = np.array(logits, np.float32)

    def predict(self, _: np.ndarray) -> np.ndarray:
        return self._logits


def test_networks_that_know_more_classes_are_measured_twice(bundle: Path, tmp_path: Path) -> None:
    engine = load_engine(bundle, "native")
    images = LabelledImages(
        torch.zeros(4, 3, 16, 16, dtype=torch.uint8), torch.tensor([0, 0, 1, 1]), ("n2", "n4")
    )
    logits = [[0.0, 3, 1, 2], [9, 3, 1, 4], [9, 1, 8, 2], [0, 1, 2, 3]]
    answers = cast(Engine, _Answers(engine, logits))
    table = tmp_path / "table.csv"
    figures = measure_accuracy(answers, images, labels=("b", "d"), confusion=table, progress=False)
    assert figures.top1 == 50  # 1, 0, 0, 3 for 1, 1, 3, 3
    assert figures.among == Among(classes=2, top1=75, top5=100)
    assert table.read_text().splitlines()[1:] == ['"b, B",1,1', "d,0,2"]
    with pytest.raises(DataError, match="it lacks e"):
        measure_accuracy(answers, images, labels=("b", "e"), progress=False)
