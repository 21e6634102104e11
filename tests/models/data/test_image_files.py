"""models.data.image_files: folders of class folders; the fair test set told by its names."""

import os
from pathlib import Path

import pytest

from models.data.image_files import (
    ImageFiles,
    is_test_file,
    join_files,
    list_folders,
    list_images,
    list_visible,
    read_folder,
    relabel,
    separate_test_files,
)
from models.errors import DataError
from tests.models.images import make_files

FAIR = "ILSVRC2012_val_00000001.JPEG"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("cat/b.jpg", "cat/a.PNG", "ant/deep/er/c.webp", "ant/notes.txt", "ant/.x.jpg"):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (tmp_path / "set" / ".git").mkdir()
    return tmp_path / "set"


def test_folder_gives_sorted_classes_and_names(folder: Path) -> None:
    files = read_folder(folder)
    assert files.classes == ("ant", "cat")
    assert files.names == ("ant/deep/er/c.webp", "cat/a.PNG", "cat/b.jpg")
    assert files.labels == (0, 1, 1)
    assert files.read(2) == b"cat/b.jpg"
    assert files.counts() == {"ant": 1, "cat": 2}


def test_files_of_every_format_that_is_read_are_found(tmp_path: Path) -> None:
    names = ["a/1.jpg", "a/2.JPEG", "a/3.png", "a/4.webp", "a/5.avif", "b/1.jpg"]
    for name in [*names, "a/6.heic", "b/2.gif"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert read_folder(tmp_path).names == tuple(names)


def test_every_file_means_every_file_but_hidden_ones(folder: Path) -> None:
    (folder / "cat" / ".thumbnails").mkdir()
    (folder / "cat" / ".thumbnails" / "a.jpg").touch()
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store"):  # of Windows and macOS
        (folder / "cat" / name).touch()
    assert "ant/notes.txt" in read_folder(folder, every_file=True).names
    assert len(read_folder(folder, every_file=True)) == 4


def test_images_of_any_folder_are_listed_without_what_systems_keep_there(folder: Path) -> None:
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._a.jpg", ".trash/b.jpg", "c.txt"):
        (folder / "cat" / name).parent.mkdir(exist_ok=True)
        (folder / "cat" / name).touch()
    names = [path.relative_to(folder).as_posix() for path in list_images(folder)]
    assert names == ["ant/deep/er/c.webp", "cat/a.PNG", "cat/b.jpg"]
    assert folder / "cat" / "c.txt" in list_visible(folder)
    assert [path.name for path in list_folders(folder)] == ["ant", "cat"]
    assert list_folders(folder / "none") == []


def test_where_every_file_counts_none_is_left_out_unseen(folder: Path, tmp_path: Path) -> None:
    assert len(read_folder(folder, every_file=True)) == 4
    for name, target, found in (
        ("more", folder / "ant", "a folder"),
        ("gone", tmp_path / "x", "no"),
    ):
        link = folder / "cat" / name
        link.symlink_to(target)
        with pytest.raises(DataError, match=f"{name}: expected an image or .* a link to {found}"):
            read_folder(folder, every_file=True)
        link.unlink()
    (folder / "dog").symlink_to(tmp_path / "x")
    with pytest.raises(DataError, match="dog: expected a folder; found a link to nothing"):
        read_folder(folder, every_file=True)
    (folder / "dog").unlink()
    (folder / "loose.JPG").touch()
    with pytest.raises(DataError, match=r"found beside them loose\.JPG"):
        read_folder(folder, every_file=True)
    assert len(read_folder(folder)) == 3


def test_empty_class_single_class_and_no_folder_are_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "dog").mkdir()
    with pytest.raises(DataError, match=r"dog: expected images .* found none"):
        read_folder(folder)
    with pytest.raises(DataError, match="at least 2; found 0"):
        read_folder(folder / "cat")
    with pytest.raises(DataError, match="found no such folder"):
        read_folder(tmp_path / "none")
    with pytest.raises(DataError, match="found a file"):
        read_folder(folder / "cat" / "b.jpg")


def test_selected_images_keep_their_bytes() -> None:
    files = make_files({"a": {"1": b"one", "2": b"two"}, "b": {"3": b"three"}})
    chosen = files.select([2, 0])
    assert chosen.names == ("b/3", "a/1")
    assert [chosen.read(i) for i in range(2)] == [b"three", b"one"]
    assert chosen.classes == files.classes


def test_copies_are_told_by_their_bytes() -> None:
    files = make_files({"a": {"1": b"x", "2": b"y"}, "b": {"1": b"x", "2": b"z"}})
    others = make_files({"c": {"1": b"x"}}), make_files({"a": {"9": b"z"}, "b": {"1": b"-"}})
    assert files.without(*others).names == ("a/2",)
    assert files.without().names == files.names


def test_digest_depends_on_bytes_names_labels_and_classes() -> None:
    variants = [
        make_files({"a": {"1": b"one"}, "b": {"2": b"two"}}),
        make_files({"a": {"1": b"one"}, "b": {"2": b"tw0"}}),
        make_files({"a": {"1": b"one"}, "b": {"3": b"two"}}),
        make_files({"a": {"1": b"one"}, "c": {"2": b"two"}}),
    ]
    assert len({files.sha256() for files in variants}) == 4
    assert variants[0].sha256() == variants[0].select([0, 1]).sha256()


def test_file_names_may_be_no_text(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / os.fsdecode(b"caf\xe9.jpg")).touch()
    files = read_folder(tmp_path)
    again = ImageFiles(files.names, files.labels, files.classes, files.read)
    assert files.sha256() == again.sha256()
    assert [os.fsencode(name) for name in files.names] == [b"a/caf\xe9.jpg", b"b/caf\xe9.jpg"]


def test_fair_test_files_are_told_by_name() -> None:
    assert is_test_file(f"n01440764/{FAIR}")
    assert not is_test_file("ILSVRC2012_val_x/n01440764_1.JPEG")
    files = make_files({"a": {FAIR: b"t", "1.jpg": b"x"}, "b": {"2.jpg": b"y"}})
    rest, test = separate_test_files(files)
    assert rest.names == ("a/1.jpg", "b/2.jpg")
    assert test.names == (f"a/{FAIR}",)


def test_joined_sets_number_their_labels_over_the_union() -> None:
    one = make_files({"b": {"1": b"b1"}, "d": {"2": b"d2"}})
    two = make_files({"a": {"3": b"a3"}, "d": {"4": b"d4"}})
    union = join_files([one, two])
    assert union.classes == ("a", "b", "d")
    assert union.names == ("a/3", "b/1", "d/2", "d/4")
    assert [union.classes[label] for label in union.labels] == ["a", "b", "d", "d"]
    assert union.read(0) == b"a3"
    assert union.sha256() == join_files([two, one]).sha256()


def test_relabel_maps_through_names_and_refuses_strangers() -> None:
    files = make_files({"b": {"1": b""}, "c": {"2": b""}})
    assert relabel(files, ("a", "b", "c"), "test").labels == (1, 2)
    with pytest.raises(DataError, match=r"test: .*found also c"):
        relabel(files, ("a", "b"), "test")
