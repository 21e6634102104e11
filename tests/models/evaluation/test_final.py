"""models.evaluation.final: which part is measured, and what the temperature is fitted on."""

import csv
from pathlib import Path

import torch
from torch import Tensor, nn

from models.data.decoded import LabelledImages
from models.data.preprocessing import evaluation_preprocessing
from models.evaluation.final import MIN_IMAGES, FinalFigures, measure_final
from models.records.figures import Temperature
from models.records.typed_json import as_json

SPEC = evaluation_preprocessing(4)


class Colour(nn.Module):
    """Says class 1 of images that are mostly bright."""

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((1, 2, 3))
        return torch.stack([-mean, mean], 1)


def images(labels: list[int], bright: list[int]) -> LabelledImages:
    pixels = torch.tensor(bright, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 4, 4)
    return LabelledImages(pixels.contiguous(), torch.tensor(labels), ("dark", "bright"))


def test_the_test_part_is_measured_and_validation_is_the_other(tmp_path: Path) -> None:
    test = images([0, 1, 1, 1], [0, 255, 255, 0])
    validation = images([0, 1], [0, 255])
    names = ("dark one", "bright one")
    table = tmp_path / "c.csv"
    final = measure_final(Colour(), test, validation, SPEC, names, table)
    accuracy, calibration, seen = final.test, final.calibration, final.validation
    assert accuracy
    assert calibration
    assert (accuracy.split, accuracy.top1, accuracy.images) == ("test", 75.0, 4)
    assert accuracy.positive_share is None
    assert accuracy.classes_shown is None
    assert "classes_shown" not in as_json(accuracy)
    assert calibration == Temperature(1.0, 2, fitted=False)
    assert seen
    assert (seen.top1, seen.images) == (100.0, 2)
    assert accuracy.calibration_error_with_temperature is None
    with table.open(newline="") as stream:
        (_, *rows) = csv.reader(stream)
    assert rows == [["dark one", "1", "0"], ["bright one", "1", "2"]]


def test_images_of_some_classes_alone_are_told(tmp_path: Path) -> None:
    test = images([1, 1], [255, 0])
    final = measure_final(Colour(), test, None, SPEC, ("a", "b"), tmp_path / "c.csv")
    assert final.test
    assert final.test.classes_shown == 1
    assert as_json(final.test)["classes_shown"] == 1


def test_without_a_test_part_validation_is_measured(tmp_path: Path) -> None:
    validation = images([0, 1], [0, 255])
    table = tmp_path / "c.csv"
    final = measure_final(Colour(), None, validation, SPEC, ("a", "b"), table)
    accuracy, calibration, seen = final.test, final.calibration, final.validation
    assert accuracy
    assert accuracy.split == "validation"
    assert seen
    assert seen.top1 == accuracy.top1
    assert calibration


def test_few_validation_images_leave_the_temperature_at_1(tmp_path: Path) -> None:
    """Three to six photos that are all answered right would make scores worse, not better."""
    test = images([0, 1, 1, 1], [0, 255, 255, 0])
    for count, fitted in ((6, False), (MIN_IMAGES - 1, False), (MIN_IMAGES, True)):
        labels = [i % 2 for i in range(count)]
        validation = images(labels, [255 * label for label in labels])
        for measured in (test, None):
            final = measure_final(Colour(), measured, validation, SPEC, "ab", tmp_path / "c.csv")
            calibration = final.calibration
            assert calibration
            assert (calibration.images, calibration.fitted) == (count, fitted)
            assert (calibration.temperature == 1) is not fitted
            assert final.test
            assert (final.test.calibration_error_with_temperature is None) is not fitted


def test_without_validation_there_is_no_temperature(tmp_path: Path) -> None:
    test = images([0, 1], [0, 255])
    final = measure_final(Colour(), test, None, SPEC, ("a", "b"), tmp_path / "c.csv")
    accuracy, calibration, seen = final.test, final.calibration, final.validation
    assert accuracy
    assert accuracy.calibration_error_with_temperature is None
    assert calibration is None
    assert seen is None


def test_without_images_nothing_is_measured(tmp_path: Path) -> None:
    table = tmp_path / "c.csv"
    final = measure_final(Colour(), None, None, SPEC, ("a", "b"), table)
    assert final == FinalFigures(None, None, None)
    assert not table.exists()
