"""models.data.collect: what is an image of a class, and the reasons of what is left out."""

import io
from pathlib import Path

import pytest
from PIL import Image

from models.data.collect import Gathered, find_images
from models.data.git_files import list_files, open_reader
from models.data.sources import Repository, Sources
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
