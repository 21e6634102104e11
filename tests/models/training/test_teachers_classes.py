"""models.training.teachers_classes: a student that learns ImageNet's classes from answers alone."""

from pathlib import Path

import numpy as np
import pytest

from models.data.datasets import open_data_set
from models.errors import DataError
from models.export.__main__ import main as export
from models.records.record import RECORD, read_record
from models.teachers.answers import CLASSES, FILE, keep_likeliest, write_answers
from models.train import main as train
from models.training.teachers_classes import read_names, tell_apart, with_test
from runtime import read_bundle
from tests.models.images import write_two_colours

NAMES = ("red, crimson", "blue", *(f"class {i}" for i in range(2, CLASSES)))


def write_names(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return write_names(tmp_path / "labels.txt", "background", *NAMES)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Images of two colours, and answers that are sure of one of the first two classes."""
    write_two_colours(tmp_path / "data")
    files = open_data_set(tmp_path / "data").train
    column = {"red": 0, "blue": 1}
    answers = np.full((len(files), CLASSES), 1e-4, np.float32)
    for i, label in enumerate(files.labels):
        answers[i, column[files.classes[label]]] = 1
    stored = keep_likeliest(files.names, answers / answers.sum(1, keepdims=True), ["colours"])
    write_answers(stored, tmp_path / FILE)
    return tmp_path / "data"


def run(data: Path, labels: Path, *options: str) -> int:
    """Trains on the images and answers; the run is beside them."""
    return train(
        [
            *("meliusnet13", "--data", str(data), "--answers", str(data.with_name(FILE))),
            *("--labels", str(labels), "--distillation", "0.9", "--epochs", "1", "--batch", "4"),
            *("--image-size", "16", "--validation-share", "0.3", "--quiet", "--device", "cpu"),
            *("--out", str(data.with_name("run")), *options),
        ]
    )


def test_names_are_a_thousand_with_or_without_a_background(tmp_path: Path, labels: Path) -> None:
    assert read_names(labels) == NAMES
    assert read_names(write_names(tmp_path / "fewer.txt", *NAMES)) == NAMES


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (NAMES[1:], "expected 1000 or 1001 labels.*found 999"),
        ((*NAMES[1:], ""), "line 1000: expected a printable label"),
        (("x", *NAMES), "expected 'background' in the first of 1001 lines; found 'x'"),
    ],
)
def test_other_lists_are_refused(tmp_path: Path, lines: tuple[str, ...], found: str) -> None:
    with pytest.raises(DataError, match=found):
        read_names(write_names(tmp_path / "bad.txt", *lines))


def test_equal_names_get_their_numbers() -> None:
    assert tell_apart(["crane", "stork", "crane"]) == ("crane (0)", "stork", "crane (2)")


def test_test_images_are_found_by_the_first_name(data: Path) -> None:
    files = open_data_set(data, needs_train=False)
    found = with_test(NAMES, files)
    assert files.test is not None
    assert found.test is not None
    assert found.test_split is not None
    assert found.test_split.sha256 == files.test.sha256()  # as of other networks' tests
    assert found.test.labels == tuple(1 - label for label in files.test.labels)  # blue is first
    with pytest.raises(DataError, match="expected classes that ImageNet has; it lacks red"):
        with_test(("crimson", "blue"), files)


def test_a_student_becomes_a_bundle_that_names_them_all(data: Path, labels: Path) -> None:
    assert run(data, labels, "--test-data", str(data)) == 0
    record = read_record(data.with_name("run") / RECORD)
    assert record.data.labels == NAMES
    assert record.test is not None
    assert (record.test.split, record.test.images) == ("test", 4)
    assert record.data.splits["test"].images == 4
    folder = data.with_name("bundle")
    checkpoint = str(data.with_name("run") / "checkpoint.pt")
    options = ["--checkpoint", checkpoint, "--parity-inputs", "2", "--out", str(folder)]
    assert export(["meliusnet13", *options]) == 0
    manifest = read_bundle(folder).manifest
    assert manifest.labels == NAMES
    assert manifest.training is not None
    assert manifest.training["teacher"] == "stored answers of colours"


def test_without_test_images_agreement_with_the_teachers_is_measured(
    data: Path, labels: Path
) -> None:
    assert run(data, labels) == 0
    record = read_record(data.with_name("run") / RECORD)
    assert record.test is not None
    assert (record.test.split, record.test.images) == ("validation", 4)
    assert "test" not in record.data.splits  # the data's own test images were not looked at


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--kinds", "kinds.toml"], "expected --answers with --kinds, or with --labels"),
        (["--distillation", "0"], "--distillation above 0"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    data: Path, labels: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(data, labels, *options) == 2
    assert message in capsys.readouterr().err


def test_images_without_an_answer_are_refused(
    data: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = keep_likeliest(["x"], np.eye(1, CLASSES, dtype=np.float32), ["t"])
    write_answers(one, data.with_name(FILE))
    assert run(data, labels) == 2
    assert "expected an answer for each of" in capsys.readouterr().err
    arguments = ["meliusnet13", "--data", str(data), "--test-data", str(data), "--out", "run"]
    assert train(arguments) == 2
    assert "expected --test-data with --labels only" in capsys.readouterr().err
