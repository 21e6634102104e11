"""models.training.images: what is trained on, damaged files named, copies left out."""

from pathlib import Path

import pytest

from models.data.datasets import DataSet, open_data_set
from models.errors import DamagedImages, DataError
from models.records.record import read_record
from models.training.images import _split
from models.training.job import Job
from models.training.run import run_training
from tests.models.images import make_files, write_image, write_two_colours
from tests.models.jobs import RECIPE, make_job


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_two_colours(tmp_path / "data")
    return tmp_path / "data"


def test_damaged_images_stop_a_run_or_are_recorded(data: Path, tmp_path: Path) -> None:
    for part in ("train", "test"):
        (data / part / "blue" / f"{part}.jpg").write_bytes(f"\xff\xd8\xff no {part}".encode())
    with pytest.raises(DamagedImages, match=r"2 of 18 files(.|\n)*blue/train\.jpg(.|\n)*blue/test"):
        run_training(make_job(data, tmp_path / "run"))
    assert not (tmp_path / "run").exists()  # nothing was trained before it was said
    run_training(make_job(data, tmp_path / "run", skip_damaged=True))
    record = read_record(tmp_path / "run" / "record.json")
    names = [line.split(":")[0] for line in record.data.skipped]
    assert names == ["blue/train.jpg", "blue/test.jpg"]
    assert record.test.images == 4


def test_a_part_that_loses_a_class_is_named(data: Path, tmp_path: Path) -> None:
    for image in (data / "test" / "blue").iterdir():
        image.write_bytes(image.name.encode())
    with pytest.raises(DataError, match=r"test split: .* all images are damaged of blue"):
        run_training(make_job(data, tmp_path / "run", skip_damaged=True))


def test_copies_of_test_images_are_not_watched_by(data: Path, tmp_path: Path) -> None:
    for name in ("red", "blue"):
        for image in (data / "test" / name).iterdir():
            copy = data / "val" / name / f"copy-{image.name}"
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(image.read_bytes())
        write_image(data / "val" / name / "other.png", seed=len(name))
    run_training(make_job(data, tmp_path / "run"))
    assert read_record(tmp_path / "run" / "record.json").data.validation_images == 2


def test_a_set_of_test_images_alone_is_refused(data: Path, tmp_path: Path) -> None:
    for name in ("red", "blue"):
        for image in (data / "train" / name).iterdir():
            image.rename(image.with_name(f"ILSVRC2012_val_{image.name}"))
    with pytest.raises(DataError, match="for every class, training images"):
        run_training(make_job(data, tmp_path / "run"))


def test_copies_of_test_images_are_not_trained_on(data: Path, tmp_path: Path) -> None:
    first = next((data / "test" / "blue").iterdir())
    (data / "train" / "red" / f"copy-{first.name}").write_bytes(first.read_bytes())
    run_training(make_job(data, tmp_path / "run"))
    used = read_record(tmp_path / "run" / "record.json").data
    assert used.splits["train"].images == 13
    assert used.train_images + used.validation_images == 12
    for image in (data / "train" / "blue").iterdir():
        image.write_bytes(first.read_bytes())
    with pytest.raises(DataError, match=r"validation or test images; .* for: blue"):
        run_training(make_job(data, tmp_path / "other"))


def test_images_left_out_are_counted_of_all_parts() -> None:
    """Of train and of validation, each as often as it lies there; what is held back is none."""

    def count(**parts: dict[str, str]) -> tuple[dict[str, int], int]:
        files = {
            part: make_files(
                {c: {str(i): x.encode() for i, x in enumerate(row)} for c, row in content.items()}
            )
            for part, content in parts.items()
        }
        validation, test = files.get("validation"), files.get("test")
        data = DataSet("x", files["train"], validation, test, ("a", "b"))
        found, left_out = _split(Job("meliusnet13", data, Path(), RECIPE))
        return {part: len(row) for part, row in found.items()}, left_out

    train, test = {"a": "abcdefghij", "b": "ABCDEFGHIJ"}, {"a": "abb", "b": "C"}
    assert count(train=train) == ({"train": 16, "validation": 4}, 0)
    assert count(train=train, test=test) == ({"train": 13, "validation": 4, "test": 4}, 3)
    watched = {"a": "axd", "b": "DDy"}
    found = {"train": 15, "validation": 5, "test": 4}
    assert count(train=train, validation=watched, test=test) == (found, 3 + 2 + 1)
    assert count(train=train, validation=watched) == ({"train": 17, "validation": 6}, 3)
    known = {"a": "ab", "b": "C"}
    assert count(train=train, validation=known, test=test) == ({"train": 17, "test": 4}, 3 + 3)


def test_a_class_without_training_images_is_named(data: Path, tmp_path: Path) -> None:
    whole = open_data_set(data)
    only_red = whole.train.select([i for i, n in enumerate(whole.train.names) if "red" in n])
    job = make_job(data, tmp_path / "run", data=DataSet("x", only_red, None, None, whole.labels))
    with pytest.raises(DataError, match="found none for: blue"):
        run_training(job)
