"""models.data.datasets: layouts of known sets, counts, the fair test set out of training."""

from pathlib import Path

import pytest

from models.data import datasets
from models.data.catalog import KNOWN, NAMES, KnownSet, Photo
from models.data.datasets import open_data_set
from models.data.image_files import ImageFiles, is_test_file
from models.data.packs import write_packs
from models.errors import DataError, IncompleteData
from tests.models.images import open_real_copy

SMALL = (Photo("n1", 0, "fish", 3, 2), Photo("n2", 1, "dog", 2, 1))


def touch(path: Path, count: int, name: str = "x") -> None:
    path.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        (path / f"{name}_{i}.JPEG").write_bytes(f"{path.name}{name}{i}".encode())


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a set like Imagenette: two classes, fair test images in train and val."""
    monkeypatch.setitem(KNOWN, "imagenette", KnownSet("nobody/nothing", 2, photos=SMALL))
    for photo in SMALL:
        touch(tmp_path / "train" / photo.wnid, photo.train)
        touch(tmp_path / "val" / photo.wnid, photo.validation, "y")
        touch(tmp_path / "train" / photo.wnid, 30, "ILSVRC2012_val_00")
        touch(tmp_path / "val" / photo.wnid, 20, "ILSVRC2012_val_01")
    return tmp_path


def test_the_fair_test_set_is_out_of_train_and_validation(small: Path) -> None:
    data = open_data_set(small, "imagenette")
    assert data.validation is not None
    assert data.test is not None
    assert data.train.counts() == {"n1": 3, "n2": 2}
    assert data.validation.counts() == {"n1": 2, "n2": 1}
    assert data.test.counts() == {"n1": 50, "n2": 50}
    assert not any(is_test_file(name) for name in data.train.names + data.validation.names)
    assert all(is_test_file(name) for name in data.test.names)


def test_without_a_name_they_are_out_too(small: Path) -> None:
    data = open_data_set(small)
    assert data.name == small.name
    assert not any(is_test_file(name) for name in data.train.names)
    assert data.test is not None
    assert len(data.test) == 100


def test_packs_of_a_set_are_the_set(small: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    data = open_data_set(small, "imagenette")
    packs = tmp_path_factory.mktemp("packs")
    for part, split in (("train", "train"), ("validation", "val"), ("test", "test")):
        write_packs(data.parts()[part], packs, split, 2 if part == "train" else 1)
    packed = open_data_set(packs, "imagenette")
    for part, files in data.parts().items():
        assert packed.parts()[part].sha256() == files.sha256(), part
    (packs / "train").mkdir()
    with pytest.raises(DataError, match=r"train/ or train\.npz; found both"):
        open_data_set(packs)


def test_incomplete_copies_are_named(small: Path) -> None:
    (small / "train" / "n1" / "x_0.JPEG").unlink()
    (small / "val" / "n2" / "ILSVRC2012_val_01_0.JPEG").unlink()
    message = (
        "expected a complete copy of imagenette; found differences: "
        "train, class n1: expected 3 images, found 2; test, "
        "class n2: expected 50 images, found 49. Get it again from nobody/nothing, or leave out "
        "the set's name"
    )
    with pytest.raises(IncompleteData, match=message):
        open_data_set(small, "imagenette")


def test_a_missing_class_is_named(small: Path) -> None:
    for split in ("train", "val"):
        for file in (small / split / "n2").iterdir():
            file.unlink()
        (small / split / "n2").rmdir()
        touch(small / split / "n3", 1)
    with pytest.raises(IncompleteData, match="class n2: expected in train, found none"):
        open_data_set(small, "imagenette")


def test_union_has_the_classes_of_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, wnids in (("imagenette", ("n1", "n4")), ("imagewoof", ("n2", "n3"))):
        photos = tuple(Photo(wnid, 0, wnid.upper(), 2, 1) for wnid in wnids)
        monkeypatch.setitem(KNOWN, name, KnownSet("nobody/nothing", 2, photos=photos))
        for wnid in wnids:
            touch(tmp_path / name / "train" / wnid, 2)
            touch(tmp_path / name / "val" / wnid, 1)
            touch(tmp_path / name / "val" / wnid, 50, "ILSVRC2012_val_")
    data = open_data_set(tmp_path, "imagenette+imagewoof")
    assert data.train.classes == ("n1", "n2", "n3", "n4")
    assert set(data.train.counts().values()) == {2}
    assert {name: len(part) for name, part in data.parts().items()} == {
        "train": 8,
        "validation": 4,
        "test": 200,
    }
    with pytest.raises(DataError, match="train/"):
        open_data_set(tmp_path / "imagenette", "imagenette+imagewoof")


def test_tiny_imagenet_takes_labels_of_val_from_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KNOWN, "tiny-imagenet-200", KnownSet("x", 2, {"train": 2, "test": 1}))
    for wnid in ("n1", "n2"):
        touch(tmp_path / "train" / wnid / "images", 2)
        (tmp_path / "train" / wnid / f"{wnid}_boxes.txt").touch()
    touch(tmp_path / "val" / "images", 2, "val")
    table = tmp_path / "val" / "val_annotations.txt"
    table.write_text("val_0.JPEG\tn2\t0\t1\t2\t3\nval_1.JPEG\tn1\t0\t1\t2\t3\n")
    touch(tmp_path / "test" / "images", 3)  # a whole copy has them: images that nobody labelled
    data = open_data_set(tmp_path, "tiny-imagenet-200")
    assert data.train.classes == ("n1", "n2")
    assert data.validation is None
    assert data.test is not None
    assert data.test.names == ("n1/val_1.JPEG", "n2/val_0.JPEG")
    assert data.test.read(0) == b"imagesval1"
    (tmp_path / "val" / "images" / "val_1.JPEG").unlink()
    with pytest.raises(IncompleteData, match=r"val_1\.JPEG: listed in val_annotations\.txt"):
        open_data_set(tmp_path, "tiny-imagenet-200")


def test_a_wrong_number_of_classes_is_found(tmp_path: Path) -> None:
    for name in ("airplane", "ship"):
        touch(tmp_path / "train" / name, 1)
        touch(tmp_path / "test" / name, 1)
    with pytest.raises(IncompleteData, match="expected 10 classes, found 2"):
        open_data_set(tmp_path, "cifar10")


def test_folder_of_photos_is_no_set(tmp_path: Path) -> None:
    touch(tmp_path / "cat", 1)
    with pytest.raises(DataError, match="give --folder instead of --data"):
        open_data_set(tmp_path)
    with pytest.raises(DataError, match="unknown data set imagenot"):
        open_data_set(tmp_path, "imagenot")


def test_strange_classes_in_the_test_part_are_refused(tmp_path: Path) -> None:
    for split, names in (("train", ("a", "b")), ("test", ("a", "c"))):
        for name in names:
            touch(tmp_path / split / name, 1)
    with pytest.raises(DataError, match="found also c"):
        open_data_set(tmp_path)


WITHOUT_TEST = ("birds-525", "birds-5", "popular-animals", "flowers", "sharp-photos")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_real_copies_are_whole(name: str) -> None:
    opened = open_real_copy(name)
    assert not any(is_test_file(file) for file in opened.train.names)
    assert opened.train.classes == tuple(sorted(opened.train.classes))
    assert (opened.test is None) == (name in WITHOUT_TEST)


def test_labels_are_for_people(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "PHOTOS", {photo.wnid: photo for photo in SMALL})
    data = open_data_set(small)
    assert data.labels == ("fish", "dog")
    assert isinstance(data.train, ImageFiles)


def test_names_come_from_the_list_of_the_set(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "PHOTOS", {})
    wnids = open_data_set(small).train.classes
    assert open_data_set(small).labels == wnids
    lines = [f"{wnids[0]}\ttench, Tinca tinca", "n0\tother, thing", "no tab"]
    (small / "words.txt").write_text("\n".join(lines))
    assert open_data_set(small).labels == ("tench", wnids[1])


def test_names_that_no_bundle_could_have_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b\nc"):
        touch(tmp_path / "train" / name, 1)
    with pytest.raises(DataError, match=r"names of classes that can be shown.*found 'b\\nc'"):
        open_data_set(tmp_path)


def test_classes_of_one_name_are_told_apart(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "PHOTOS", {})
    a, b = open_data_set(small).train.classes
    (small / "words.txt").write_text(f"{a}\tcrane\n{b}\tcrane, bird\n")
    assert open_data_set(small).labels == (f"crane ({a})", f"crane ({b})")


@pytest.mark.parametrize("needs_train", [True, False])
def test_a_folder_that_is_not_there_is_named(tmp_path: Path, needs_train: bool) -> None:
    with pytest.raises(DataError, match=r"nosuch: expected the folder .* found nothing there\."):
        open_data_set(tmp_path / "nosuch", None, needs_train=needs_train)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file: expected the folder .* found a file\."):
        open_data_set(tmp_path / "file", None, needs_train=needs_train)
    with pytest.raises(DataError, match=r"imagenette: expected the folder"):
        open_data_set(tmp_path, "imagenette+imagewoof", needs_train=needs_train)
