"""models.gather: images out of clones, what is left out and why; all or nothing."""

import csv
import io
import re
import shlex
import sys
from pathlib import Path
from shutil import copyfile, rmtree

import numpy as np
import pytest
from PIL import Image

from models.data.datasets import open_data_set
from tests.models.images import write_image
from tests.models.places import ANIMALS, SCENES, TABLE, Places
from tests.models.repositories import clone_without_blobs, commit_folder, run_git


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


def test_images_of_all_repositories_become_a_set(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    assert places.gather("--quiet") == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "cat: 3",
        "dog: 3",
        "sea: 2",
        "8 images; left out: 1 no image, 1 too large, 1 too small, 1 copy",
    ]
    assert not err
    opened = open_data_set(places.out)
    assert (opened.validation, opened.test) == (None, None)
    assert opened.train.counts() == {"cat": 3, "dog": 3, "sea": 2}
    assert opened.train.names == (
        "cat/anna_animals_images_cats_deep_Wide.JPG",
        "cat/anna_animals_images_cats_flat.png",
        "cat/anna_animals_images_cats_small.png",
        "dog/anna_animals_images_dogs_night_1.png",
        "dog/anna_animals_images_rex.png",
        "dog/anna_animals_images_wolves_night_deep_2.png",
        "sea/ben_scenes_photos_all of them_0.png",
        "sea/ben_scenes_photos_all of them_1.png",
    )
    kept = [opened.train.read(i) for i in range(8)]
    for reduced, side in ((kept[0], 16), (kept[1], 10)):  # at most to 16, and none made larger
        with Image.open(io.BytesIO(reduced)) as image:
            assert (image.format, image.size) == ("JPEG", (side, side))
    assert kept[2] == (places.animals / "images" / "cats" / "small.png").read_bytes()
    assert kept[4] == (places.animals / "images" / "rex.png").read_bytes()


def test_the_same_clones_give_the_same_set_with_progress_shown(
    places: Places, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert places.gather("--quiet") == 0
    first = open_data_set(places.out).train.sha256()
    (places.out / "train.npz").unlink()
    assert places.gather() == 0
    assert re.search("anna/animals: 100%(.|\r|\n)*ben/scenes: 100%", capsys.readouterr().err)
    assert open_data_set(places.out).train.sha256() == first


def test_a_pack_in_shards_is_the_same_set(places: Places) -> None:
    assert places.gather("--quiet") == 0
    whole = open_data_set(places.out).train
    places.out = places.out.with_name("in shards")
    assert places.gather("--quiet", "--shards", "2") == 0
    assert sorted(path.name for path in places.out.iterdir()) == ["train-0.npz", "train-1.npz"]
    shards = open_data_set(places.out).train
    assert (shards.names, shards.labels) == (whole.names, whole.labels)
    assert [shards.read(i) for i in range(8)] == [whole.read(i) for i in range(8)]


def test_a_pack_has_at_least_one_shard(places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    assert places.gather("--shards", "0") == 2
    assert "expected at least 1 shard; found --shards 0" in capsys.readouterr().err
    assert not places.out.exists()


def test_reduced_images_show_the_centre(places: Places) -> None:
    pixels = np.zeros((16, 48, 3), np.uint8)
    pixels[:, 16:32] = 200
    Image.fromarray(pixels).save(places.animals / "images" / "rex.png")
    places.write(commits=(commit_folder(places.animals), places.commits[1]))
    assert places.gather("--quiet") == 0
    train = open_data_set(places.out).train
    data = train.read(train.names.index("dog/anna_animals_images_rex.png"))
    with Image.open(io.BytesIO(data)) as image:
        assert abs(np.asarray(image).astype(int) - 200).max() <= 2


@pytest.mark.parametrize(
    ("animals", "scenes", "table", "message"),
    [
        (
            {"cat": ["images/cats", "images/lions"]},
            SCENES,
            TABLE,
            "anna/animals, cat: expected images in images/lions; found none",
        ),
        ({"dog": ["images/cats/readme.txt"]}, SCENES, TABLE, "images/cats/readme.txt; found"),
        ({"cat": ["images/cat"]}, SCENES, TABLE, "expected images in images/cat; found none"),
        ({"dog": ["Images/*"]}, SCENES, TABLE, "expected images in Images/*; found none"),
        (
            ANIMALS,
            SCENES | {"hill": ["9"]},
            TABLE,
            "ben/scenes, hill: expected images of photos/all of them with the label 9; found "
            "none\n",
        ),
        (
            ANIMALS,
            SCENES,
            TABLE | {"folder": "photos"},
            "ben/scenes, cat: expected images of photos with the label 1; found none\n",
        ),
        (
            ANIMALS | {"wolf": ["images/wolves"]},
            SCENES,
            TABLE,
            "anna/animals: expected each image in one class; found "
            "images/wolves/night/deep/2.png in dog and wolf",
        ),
        (
            ANIMALS,
            SCENES,
            TABLE | {"table": "train.csv"},
            "ben/scenes: expected a file train.csv; found none",
        ),
        (
            {"dog": ["images/cats/tiny.png"], "bug": ["images/cats/[bh]*.png"]},
            SCENES,
            TABLE,
            "expected images of every class; all were left out of bug (1 no image, 1 too "
            "large); dog (1 too small). Give it others, or leave the class out.\n",
        ),
        (
            {"cat": ["images/cats/small.png"]},
            {"copy": ["1"], "sea": ["0"]},
            TABLE,
            "all were left out of copy (1 copy in another class). Give it others, or leave",
        ),
    ],
)
def test_entries_that_do_not_fit_leave_nothing(
    places: Places,
    capsys: pytest.CaptureFixture[str],
    animals: dict[str, list[str]],
    scenes: dict[str, list[str]],
    table: dict[str, str],
    message: str,
) -> None:
    places.write(animals, scenes, table)
    assert places.gather("--quiet") == 2
    out, err = capsys.readouterr()
    assert err.startswith("models.gather: ")
    assert message in err
    assert not out
    assert not places.out.exists()


def test_all_clones_and_commits_that_lack_are_named_at_once(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    places.clones.joinpath("ben", "scenes").rename(places.clones / "elsewhere")
    places.write(commits=("7" * 40, places.commits[1]))
    assert places.gather("--quiet") == 2
    bare = places.clones / "ben" / "scenes"
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "models.gather: expected a clone of each repository, with its commit; 2 are missing. Make "
        "them, or leave these repositories out:",
        f"  {places.animals}: expected commit {'7' * 40}; found a clone without it: "
        f"git -C '{places.animals}' fetch origin {'7' * 40}",
        f"  git clone --bare https://github.com/ben/scenes '{bare}'",
    ]
    assert shlex.split(lines[-1])[-1] == str(bare), "pasted into a shell, the space is of the name"
    assert not places.out.exists()


def test_an_empty_folder_is_filled_by_the_command_advised(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    """As one is that an interrupted clone leaves."""
    bare = places.clones / "ben" / "scenes"
    rmtree(bare)
    bare.mkdir()
    assert places.gather("--quiet") == 2
    git, *clone, address, target = shlex.split(capsys.readouterr().err.splitlines()[-1])
    assert git == "git"
    assert address == "https://github.com/ben/scenes"
    run_git(*clone, places.scenes, target)
    assert places.gather("--quiet") == 0


def test_a_set_is_written_whole_or_not_at_all(
    places: Places, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_the_disk(files: object, folder: Path, split: str, parts: int) -> None:
        (folder / f"{split}.npz").write_bytes(b"half")
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr("models.gather.write_packs", fill_the_disk)
        assert places.gather("--quiet") == 2
    assert capsys.readouterr().err == "models.gather: disk full\n"
    assert not places.out.exists()
    assert places.gather("--quiet") == 0
    before = (places.out / "train.npz").read_bytes()
    assert places.gather("--quiet") == 2
    assert "expected a folder without train images; found some" in capsys.readouterr().err
    assert (places.out / "train.npz").read_bytes() == before


@pytest.mark.parametrize("name", ["val.npz", "test.npz", "test-0.npz", "val"])
def test_images_do_not_come_beside_those_of_another_set(
    places: Places, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Which would be read as the parts to watch and to measure by."""
    places.out.mkdir()
    (places.out / name).touch()
    assert places.gather("--quiet") == 2
    part = name[:4].rstrip(".")
    assert f"expected a folder without {part} images; found some" in capsys.readouterr().err
    assert [path.name for path in places.out.iterdir()] == [name]


def test_images_that_a_clone_lacks_are_left_out(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    """And counted apart from the large ones: another clone would have them."""
    objects = (places.animals / ".git" / "objects").glob("??/*")
    (huge,) = [path for path in objects if path.stat().st_size > 8000]
    huge.unlink()
    assert places.gather("--quiet") == 0
    out = capsys.readouterr().out
    assert "8 images; left out: 1 no image, 1 not in the clone, 1 too small, 1 copy\n" in out


def test_images_that_git_cannot_fetch_leave_nothing(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    places.animals.rename(places.animals.with_name("origin"))
    clone_without_blobs(places.animals.with_name("origin"), places.animals)
    places.animals.with_name("origin").rename(places.animals.with_name("away"))
    assert places.gather("--quiet") == 2
    out, err = capsys.readouterr()
    assert re.search("expected the object [0-9a-f]{40}; .* clone again without", err)
    assert not out
    assert not places.out.exists()


def test_a_table_that_is_none_is_named(places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    (places.scenes / "labels" / "train.csv").write_text("x" * (csv.field_size_limit() + 1))
    commit = commit_folder(places.scenes)
    run_git("-C", places.clones / "ben" / "scenes", "fetch", "--quiet", "origin", commit)
    places.write(commits=(places.commits[0], commit))
    assert places.gather("--quiet") == 2
    message = "ben/scenes: expected a CSV file labels/train.csv; found field larger than"
    assert message in capsys.readouterr().err
    assert not places.out.exists()


def test_copies_are_counted_apart_where_another_class_has_them(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first class keeps the image; the other one may be a mistake of the list."""
    images = places.animals / "images"
    for copy in ("rex again.png", "dogs/rex.png"):
        copyfile(images / "rex.png", images / copy)
    animals = {
        "cat": ["images/cats/small.png", "images/rex.png"],
        "dog": ["images/dogs"],
        "wolf": ["images/wolves", "images/rex again.png"],
    }
    places.write(animals, commits=(commit_folder(places.animals), places.commits[1]))
    assert places.gather("--quiet") == 0
    assert capsys.readouterr().out.splitlines() == [
        "cat: 2",
        "dog: 2",
        "sea: 2",
        "wolf: 1",
        "7 images; left out: 2 copy in another class, 1 copy",
    ]


def test_images_of_imagenet_to_validate_by_are_left_out(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the names of the files alone: a folder or a later part of a name may be called so."""
    night = places.animals / "images" / "dogs" / "night"
    write_image(night / "ILSVRC2012_val_00000001.JPEG", 20)
    write_image(night / "ILSVRC2012_val_2.png", 21)
    write_image(night / "ILSVRC2012_val_" / "3.png", 22)
    write_image(night / "of ILSVRC2012_val_4.png", 23)
    places.write(commits=(commit_folder(places.animals), places.commits[1]))
    assert places.gather("--quiet") == 0
    assert ", 2 ImageNet's validation images" in capsys.readouterr().out.splitlines()[-1]
    start = "dog/anna_animals_images_dogs_night_"
    names = [name for name in open_data_set(places.out).train.names if name.startswith(start)]
    assert [name.removeprefix(start) for name in names] == [
        "1.png",
        "ILSVRC2012_val__3.png",
        "of ILSVRC2012_val_4.png",
    ]


@pytest.mark.parametrize("end", ["/", "//"])
def test_the_folder_of_a_table_may_end_with_a_slash(places: Places, end: str) -> None:
    places.write(table=TABLE | {"folder": TABLE["folder"] + end})
    assert places.gather("--quiet") == 0
    assert open_data_set(places.out).train.counts() == {"cat": 3, "dog": 3, "sea": 2}


def test_a_class_may_be_left_out_of_one_repository(places: Places) -> None:
    places.write(animals={"dog": ["images/rex.png"], "sea": ["images/cats/broken.png"]})
    assert places.gather("--quiet") == 0
    assert open_data_set(places.out).train.counts() == {"cat": 1, "dog": 1, "sea": 2}
