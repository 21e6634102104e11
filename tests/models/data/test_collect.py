"""models.data.collect: what is an image of a class, and the reasons of what is left out."""

import io
from pathlib import Path

import pytest
from PIL import Image

from models.data.collect import Gathered, find_images, gather
from models.data.git_files import list_files, open_reader
from models.data.sources import Repository, Sources
from models.errors import DataError
from tests.models.places import Places


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


def test_reasons_are_those_of_a_class_or_of_all() -> None:
    gathered = Gathered(Sources((), min_side=8, max_bytes=5000, side=16))
    assert (gathered.classes(), gathered.list_reasons(), gathered.list_reasons("a")) == (
        set(),
        "none",
        "none",
    )
    image = io.BytesIO()
    Image.new("RGB", (8, 8)).save(image, "PNG")
    data = image.getvalue()
    for class_name in ("a", "a", "b", "b"):
        gathered.take(class_name, "x.png", f"{class_name}_x.png", data)
    gathered.take("b", "ILSVRC2012_val_1.png", "b_ILSVRC2012_val_1.png", data)
    gathered.take("c", "ILSVRC2012_val_1.png", "c_ILSVRC2012_val_1.png", None)
    gathered.take("c", "y.png", "c_y.png", b"no image")
    gathered.take("d", "y.png", "d_y.png", b"no image")
    found = {name: gathered.list_reasons(name) for name in "abcde"}
    assert found == {
        "a": "1 copy",
        "b": "2 copy in another class, 1 ImageNet's validation images",
        "c": "1 not in the clone, 1 no image",
        "d": "1 no image",
        "e": "none",
    }
    assert gathered.list_reasons() == (
        "1 copy, 2 copy in another class, 1 ImageNet's validation images, 1 not in the clone, "
        "2 no image"
    )
    assert gathered.classes() == {"a"}
    assert gathered.files().names == ("a/a_x.png",)


ENTRIES = {
    "images/dogs/": "dogs/day/left alone.png dogs/night/1.png",
    "images/*/night/": "dogs/night/1.png wolves/night/deep/2.png",
    "images/?ogs": "dogs/day/left alone.png dogs/night/1.png",
    "images/dogs/night/?.png": "dogs/night/1.png",
    "images/*/[2-9].png": "wolves/night/deep/2.png",
    "images/[!cd]*/": "wolves/night/deep/2.png",
    "images/rex.png": "rex.png",
    "*/1.png": "dogs/night/1.png",
}


def test_entries_are_folders_files_and_patterns(places: Places) -> None:
    blobs = list_files(places.animals, places.commits[0])
    with open_reader(places.animals) as reader:
        for entry, expected in ENTRIES.items():
            row = Repository("anna/animals", places.commits[0], {"dog": (entry,)})
            found = find_images(row, blobs, reader)
            names = [path.removeprefix("images/") for path in found]
            assert (" ".join(sorted(names)), set(found.values())) == (expected, {"dog"}), entry


def _take(places: Places, most: int | None, entry: str) -> tuple[set[str], str]:
    """Names of the images that a limit keeps of a folder, and what is left out."""
    row = Repository("anna/animals", places.commits[0], {"a": (entry,)}, max_images=most)
    sources = Sources((row,), min_side=8, max_bytes=5000, side=16)
    gathered = gather(sources, places.clones)
    return set(gathered.files().names), gathered.list_reasons()


def test_a_limit_keeps_so_many_images_whichever_files_stand_before_them(places: Places) -> None:
    names, reasons = _take(places, None, "images/*")
    assert (len(names), reasons) == (7, "1 no image, 1 too large, 1 too small")
    for most in range(1, 8):
        kept, reasons = _take(places, most, "images/*")
        assert len(kept) == most, reasons
        assert kept < names or most == 7
        assert ("more than max_images" in reasons) == (most < 7)
        assert kept == _take(places, most, "images/*")[0]
        if most > 1:
            assert kept > _take(places, most - 1, "images/*")[0]  # a larger limit keeps them all


def test_a_limit_chooses_by_content_and_not_by_name(places: Places) -> None:
    kept, _ = _take(places, 3, "images/*")
    blobs = list_files(places.animals, places.commits[0])
    every, _ = _take(places, None, "images/*")
    objects = {f"a/anna_animals_{path.replace('/', '_')}": name for path, name in blobs.items()}
    assert kept == set(sorted(every, key=objects.__getitem__)[:3])


def test_a_limit_holds_for_each_class(places: Places) -> None:
    classes = {"cat": ("images/cats",), "dog": ("images/dogs", "images/rex.png")}
    row = Repository("anna/animals", places.commits[0], classes, max_images=2)
    gathered = gather(Sources((row,), min_side=8, max_bytes=5000, side=16), places.clones)
    assert gathered.files().counts() == {"cat": 2, "dog": 2}


def test_files_of_without_are_in_no_class(places: Places) -> None:
    def find(*without: str) -> set[str]:
        classes = {"cat": ("images/cats",), "dog": ("images/dogs",)}
        repository = Repository("anna/animals", places.commits[0], classes, without=without)
        blobs = list_files(places.animals, places.commits[0])
        with open_reader(places.animals) as reader:
            return set(find_images(repository, blobs, reader))

    assert find() - find("images/cats/flat.png", "*/day") == {
        "images/cats/flat.png",
        "images/dogs/day/left alone.png",
    }
    with pytest.raises(DataError, match="anna/animals, without: expected images in images/lions"):
        find("images/lions")
    with pytest.raises(DataError, match="dog: expected images in images/dogs; found none"):
        find("images/dogs")
