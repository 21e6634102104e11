"""service.bulk.folders: which files of real folders are taken, and in which order."""

import os
from pathlib import Path

import pytest

from service.bulk import folders
from service.bulk.folders import Passed, is_image_name, list_folder

NO_IMAGES = (
    "Thumbs.db",
    "desktop.ini",
    ".DS_Store",
    "._a.jpg",
    ".hidden.jpg",
    "a.txt",
    "jpg",
    "a.heic",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images, other files, folders in it, links and a pipe."""
    root = tmp_path / "photos"
    for name in ("b.JPG", "a.jpg", "c.webp", "sub/d.png", "sub/deep/e.avif", "sub/.git/f.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    for name in NO_IMAGES:
        (root / name).touch()
    (root / "x.jpg").symlink_to("a.jpg")
    (root / "y.jpg").symlink_to("nowhere.jpg")
    (root / "z.jpg").symlink_to("sub")
    (root / "loop").symlink_to(root)
    os.mkfifo(root / "pipe.jpg")
    return root


def names(folder: Path, is_recursive: bool) -> tuple[list[str], Passed]:
    passed, faults = Passed(), []
    found = list(
        list_folder(str(folder), is_recursive, passed, lambda *fault: faults.append(fault))
    )
    assert not faults
    return [os.path.relpath(path, folder) for path in found], passed


@pytest.mark.parametrize("name", NO_IMAGES)
def test_names_that_are_no_images(name: str) -> None:
    assert not is_image_name(name)


def test_a_folder_gives_its_own_images(folder: Path) -> None:
    found, passed = names(folder, False)
    assert found == ["a.jpg", "b.JPG", "c.webp", "x.jpg", "y.jpg"]
    assert passed == Passed(other=len(NO_IMAGES) + 1, folders=1, links=2)  # the pipe; z.jpg, loop


@pytest.mark.parametrize("at_a_time", [1, 2, 10_000])
def test_with_folders_in_it(folder: Path, monkeypatch: pytest.MonkeyPatch, at_a_time: int) -> None:
    monkeypatch.setattr(folders, "_SORTED", at_a_time)
    found, passed = names(folder, True)
    expected = ["a.jpg", "b.JPG", "c.webp", "x.jpg", "y.jpg", "sub/d.png", "sub/deep/e.avif"]
    assert sorted(found) == sorted(expected)
    assert passed.folders == 0
    if at_a_time > 1000:
        assert found == expected


@pytest.mark.parametrize(
    ("passed", "text"),
    [
        (Passed(), ""),
        (Passed(1200), "1,200 other files"),
        (Passed(1, 0, 1), "1 other file and 1 link to a folder"),
        (Passed(2, 1, 3), "2 other files, 1 folder (-r enters it) and 3 links to folders"),
        (Passed(0, 2), "2 folders (-r enters them)"),
    ],
)
def test_what_was_passed_over_in_words(passed: Passed, text: str) -> None:
    assert str(passed) == text


def test_deep_folders(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*"abcdefgh" * 100)
    deep.mkdir(parents=True)
    (deep / "a.jpg").touch()
    assert len(names(tmp_path, True)[0]) == 1


def test_a_folder_that_cannot_be_read_is_told_and_the_others_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = os.scandir

    def refuse(path: str) -> object:
        if path.endswith("deep"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    faults: list[tuple[str, Exception]] = []
    found = list(list_folder(str(folder), True, Passed(), lambda *fault: faults.append(fault)))
    assert len(found) == 6
    assert [name for name, _ in faults] == [str(folder / "sub/deep")]


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    faults: list[tuple[str, Exception]] = []
    none = str(tmp_path / "none")
    assert not list(list_folder(none, True, Passed(), lambda *fault: faults.append(fault)))
    assert isinstance(faults[0][1], FileNotFoundError)
