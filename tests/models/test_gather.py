"""models.gather: mistakes in the file, pictures out of clones, what is left out; all or nothing."""

import csv
import io
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.clones import list_files, open_reader
from models.datasets import open_data_set
from models.errors import DataError
from models.gather import Repository, find_pictures, main, read_sources
from models.groups import read_groups
from models.known_sets import KNOWN
from tests.models.pictures import write_picture
from tests.models.repositories import clone_bare, clone_without_blobs, commit_folder, run_git

LIMITS = "least = 8\nmost_bytes = 5000\nside = 16\n"
ROW = '[[repository]]\nname = "a/b"\ncommit = "1"\n'
CLASSES = '[repository.classes]\ncat = ["x"]\ndog = ["y"]\n'


def test_sources_are_read(tmp_path: Path) -> None:
    file = tmp_path / "sources.toml"
    table = ROW.replace("a/b", "c/d.e") + 'table = "t.csv"\nfolder = "f"\n' + CLASSES
    file.write_text(LIMITS + ROW + CLASSES + table)
    sources = read_sources(file)
    assert (sources.least, sources.most_bytes, sources.side) == (8, 5000, 16)
    plain, labelled = sources.repositories
    assert (plain.name, plain.commit, plain.table, plain.folder) == ("a/b", "1", None, None)
    assert plain.classes == {"cat": ("x",), "dog": ("y",)}
    assert (labelled.name, labelled.table, labelled.folder) == ("c/d.e", "t.csv", "f")
    assert labelled.clone_in(Path("clones")) == Path("clones", "c", "d.e")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no toml", "expected a TOML file; found"),
        (ROW + CLASSES, "expected a whole number least of at least 1; found None"),
        ("least = true", "expected a whole number least of at least 1; found True"),
        ("least = 1\nmost_bytes = 1.5", "whole number most_bytes of at least 1; found 1.5"),
        ("least = 1\nmost_bytes = 1\nside = 0", "whole number side of at least 1; found 0"),
        (LIMITS, r"expected tables \[\[repository\]\]; found None"),
        (LIMITS + "repository = []", r"expected tables \[\[repository\]\]; found \[\]"),
        (LIMITS + "[repository]\nname = 'a/b'", r"expected tables \[\[repository\]\]; found {"),
        (LIMITS + "repository = ['a/b']", "with name, commit, classes, table, folder; found a/b"),
        (LIMITS + ROW + "licence = 'MIT'\n" + CLASSES, "name, commit, .* found .*'licence': 'MIT'"),
        (LIMITS + ROW, "expected classes of a/b as a table; found None"),
        (LIMITS + ROW + "classes = ['x']", r"expected classes of a/b as a table; found \['x'\]"),
        (LIMITS + "[[repository]]\ncommit = '1'\n" + CLASSES, "expected name of None as a text"),
        (LIMITS + "[[repository]]\nname = 'a/b'\n" + CLASSES, "expected commit of a/b as a text"),
        (LIMITS + ROW + "table = 1\n" + CLASSES, "expected table of a/b as a text; found 1"),
        (LIMITS + ROW.replace("a/b", "b") + CLASSES, "a name owner/repository; found b"),
        (LIMITS + ROW.replace("a/b", "a/b/c") + CLASSES, "a name owner/repository; found a/b/c"),
        (LIMITS + ROW.replace("a/b", "../b") + CLASSES, r"a name owner/repository; found \.\./b"),
        (LIMITS + ROW + "table = 't'\n" + CLASSES, "a/b: expected table and folder together"),
        (LIMITS + ROW + "folder = 'f'\n" + CLASSES, "a/b: expected table and folder together"),
        (LIMITS + ROW + CLASSES + "cow = 'x'", "a/b: expected a list of texts for cow; found x"),
        (LIMITS + ROW + CLASSES + "cow = [1]", r"expected a list of texts for cow; found \[1\]"),
        (LIMITS + ROW + CLASSES + "cow = []", r"expected a list of texts for cow; found \[\]"),
        (LIMITS + ROW + CLASSES + "'a/cow' = ['x']", "names of classes without /; found a/cow"),
        (LIMITS + ROW + "[repository.classes]\ncat = ['x']", "expected at least 2 classes"),
    ],
)
def test_mistakes_in_a_file_are_explained(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "sources.toml").write_text(text)
    with pytest.raises(DataError, match=rf"sources\.toml: .*{message}"):
        read_sources(tmp_path / "sources.toml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"sources\.toml: expected a TOML file; found .*No such"):
        read_sources(tmp_path / "sources.toml")


ANIMALS = {"cat": ["pictures/cats"], "dog": ["pictures/*/night/*", "pictures/rex.png"]}
SCENES = {"cat": ["1"], "sea": ["0"]}
TABLE = {"table": "labels/train.csv", "folder": "photos/all of them"}


class Places:
    """Clones of two repositories, a file of sources about them, and the command that reads both."""

    def __init__(self, folder: Path) -> None:
        self.clones, self.sources, self.out = (
            folder / "my clones",
            folder / "s.toml",
            folder / "out",
        )
        self.animals = self.clones / "anna" / "animals"
        pictures = self.animals / "pictures"
        write_picture(pictures / "cats" / "small.png", 1, (16, 12))
        write_picture(pictures / "cats" / "deep" / "Wide.JPG", 2, (40, 30))
        write_picture(pictures / "cats" / "flat.png", 3, (40, 10))
        write_picture(pictures / "cats" / "tiny.png", 4, (7, 30))
        write_picture(pictures / "cats" / "huge.png", 5, (60, 60))
        (pictures / "cats" / "broken.png").write_bytes(b"no picture")
        (pictures / "cats" / "readme.txt").write_bytes(b"of no class")
        write_picture(pictures / "dogs" / "day" / "left alone.png", 6)
        write_picture(pictures / "dogs" / "night" / "1.png", 7)
        write_picture(pictures / "wolves" / "night" / "deep" / "2.png", 8)
        write_picture(pictures / "rex.png", 9)
        commits = [commit_folder(self.animals)]
        self.scenes = folder / "scenes"
        for i in range(3):
            write_picture(self.scenes / "photos" / "all of them" / f"{i}.png", 10 + i)
        write_picture(self.scenes / "photos" / "all of them" / "same as small.png", 1, (16, 12))
        (self.scenes / "labels").mkdir()
        rows = ("image_name,label", "0.png,0", "1.png, 0", "same as small.png,1", "lost.png,0", "")
        (self.scenes / "labels" / "train.csv").write_text("\n".join(rows))
        commits.append(commit_folder(self.scenes))
        clone_bare(self.scenes, self.clones / "ben" / "scenes")
        self.commits = tuple(commits)
        self.write()

    def write(
        self,
        animals: dict[str, list[str]] = ANIMALS,
        scenes: dict[str, list[str]] = SCENES,
        table: dict[str, str] = TABLE,
        commits: tuple[str, ...] = (),
    ) -> None:
        """The file of sources."""
        lines = [LIMITS]
        names, commits = ("anna/animals", "ben/scenes"), commits or self.commits
        for name, commit, classes in zip(names, commits, (animals, scenes), strict=True):
            row = {"name": name, "commit": commit} | (table if classes is scenes else {})
            lines += ["[[repository]]", *(f"{key} = '{value}'" for key, value in row.items())]
            lines += ["[repository.classes]", *(f"{c} = {row}" for c, row in classes.items())]
        self.sources.write_text("\n".join(lines))

    def gather(self, *options: str) -> int:
        """The command's exit code."""
        paths = [str(self.sources), "--clones", str(self.clones), "--out", str(self.out)]
        return main([*paths, *options])


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


def test_pictures_of_all_repositories_become_a_set(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    assert places.gather("--quiet") == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "cat: 3",
        "dog: 3",
        "sea: 2",
        "8 pictures; left out: 1 no picture, 1 too large, 1 too small, 1 copy",
    ]
    assert not err
    opened = open_data_set(places.out)
    assert (opened.validation, opened.test) == (None, None)
    assert opened.train.counts() == {"cat": 3, "dog": 3, "sea": 2}
    assert opened.train.names == (
        "cat/anna_animals_pictures_cats_deep_Wide.JPG",
        "cat/anna_animals_pictures_cats_flat.png",
        "cat/anna_animals_pictures_cats_small.png",
        "dog/anna_animals_pictures_dogs_night_1.png",
        "dog/anna_animals_pictures_rex.png",
        "dog/anna_animals_pictures_wolves_night_deep_2.png",
        "sea/ben_scenes_photos_all of them_0.png",
        "sea/ben_scenes_photos_all of them_1.png",
    )
    kept = [opened.train.read(i) for i in range(8)]
    for reduced, side in ((kept[0], 16), (kept[1], 10)):  # at most to 16, and none made larger
        with Image.open(io.BytesIO(reduced)) as image:
            assert (image.format, image.size) == ("JPEG", (side, side))
    assert kept[2] == (places.animals / "pictures" / "cats" / "small.png").read_bytes()
    assert kept[4] == (places.animals / "pictures" / "rex.png").read_bytes()


def test_the_same_clones_give_the_same_set_with_progress_shown(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    assert places.gather("--quiet") == 0
    first = open_data_set(places.out).train.sha256()
    (places.out / "train.npz").unlink()
    assert places.gather() == 0
    assert re.search("anna/animals: 100%(.|\r|\n)*ben/scenes: 100%", capsys.readouterr().err)
    assert open_data_set(places.out).train.sha256() == first


def test_reduced_pictures_show_the_centre(places: Places) -> None:
    pixels = np.zeros((16, 48, 3), np.uint8)
    pixels[:, 16:32] = 200
    Image.fromarray(pixels).save(places.animals / "pictures" / "rex.png")
    places.write(commits=(commit_folder(places.animals), places.commits[1]))
    assert places.gather("--quiet") == 0
    train = open_data_set(places.out).train
    data = train.read(train.names.index("dog/anna_animals_pictures_rex.png"))
    with Image.open(io.BytesIO(data)) as image:
        assert abs(np.asarray(image).astype(int) - 200).max() <= 2


@pytest.mark.parametrize(
    ("animals", "scenes", "table", "message"),
    [
        (
            {"cat": ["pictures/cats", "pictures/lions"]},
            SCENES,
            TABLE,
            "anna/animals, cat: expected pictures in pictures/lions; found none",
        ),
        ({"dog": ["pictures/cats/readme.txt"]}, SCENES, TABLE, "pictures/cats/readme.txt; found"),
        ({"cat": ["pictures/cat"]}, SCENES, TABLE, "expected pictures in pictures/cat; found none"),
        ({"dog": ["Pictures/*"]}, SCENES, TABLE, "expected pictures in Pictures/*; found none"),
        (ANIMALS, SCENES | {"hill": ["2"]}, TABLE, "ben/scenes, hill: expected pictures in 2; "),
        (ANIMALS, SCENES, TABLE | {"folder": "photos"}, "ben/scenes, cat: expected pictures in 1"),
        (
            ANIMALS | {"wolf": ["pictures/wolves"]},
            SCENES,
            TABLE,
            "anna/animals: expected each picture in one class; found "
            "pictures/wolves/night/deep/2.png in dog and wolf",
        ),
        (
            ANIMALS,
            SCENES,
            TABLE | {"table": "train.csv"},
            "ben/scenes: expected a file train.csv; found none",
        ),
        (
            {"dog": ["pictures/cats/tiny.png"], "bug": ["pictures/cats/[bh]*.png"]},
            SCENES,
            TABLE,
            "expected pictures of every class; all were left out of bug, dog (",
        ),
        (
            {"cat": ["pictures/cats/small.png"]},
            {"copy": ["1"], "sea": ["0"]},
            TABLE,
            "expected pictures of every class; all were left out of copy (1 copy). Change",
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
        "models.gather: some clones are not there or lack a commit:",
        f"  {places.animals}: expected commit {'7' * 40}; found a clone without it: "
        f"git -C '{places.animals}' fetch origin {'7' * 40}",
        f"  {bare}: expected a clone; found none: "
        f"git clone --bare https://github.com/ben/scenes '{bare}'",
    ]
    assert shlex.split(lines[-1])[-1] == str(bare), "pasted into a shell, the space is of the name"
    assert not places.out.exists()


def test_a_set_is_written_whole_or_not_at_all(
    places: Places, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_the_disk(files: object, folder: Path, split: str) -> None:
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
    assert "expected a folder without train pictures; found some" in capsys.readouterr().err
    assert (places.out / "train.npz").read_bytes() == before


@pytest.mark.parametrize("name", ["val.npz", "test.npz", "test-0.npz", "val"])
def test_pictures_do_not_come_beside_those_of_another_set(
    places: Places, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Which would be read as the parts to watch and to measure by."""
    places.out.mkdir()
    (places.out / name).touch()
    assert places.gather("--quiet") == 2
    part = name[:4].rstrip(".")
    assert f"expected a folder without {part} pictures; found some" in capsys.readouterr().err
    assert [path.name for path in places.out.iterdir()] == [name]


def test_pictures_that_a_clone_lacks_are_left_out(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    """And counted apart from the large ones: another clone would have them."""
    objects = (places.animals / ".git" / "objects").glob("??/*")
    (huge,) = [path for path in objects if path.stat().st_size > 8000]
    huge.unlink()
    assert places.gather("--quiet") == 0
    out = capsys.readouterr().out
    assert "8 pictures; left out: 1 no picture, 1 not in the clone, 1 too small, 1 copy\n" in out


def test_pictures_that_git_cannot_fetch_leave_nothing(
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


def test_a_class_may_be_left_out_of_one_repository(places: Places) -> None:
    places.write(animals={"dog": ["pictures/rex.png"], "sea": ["pictures/cats/broken.png"]})
    assert places.gather("--quiet") == 0
    assert open_data_set(places.out).train.counts() == {"cat": 1, "dog": 1, "sea": 2}


ENTRIES = {
    "pictures/dogs/": "dogs/day/left alone.png dogs/night/1.png",
    "pictures/*/night/": "dogs/night/1.png wolves/night/deep/2.png",
    "pictures/?ogs": "dogs/day/left alone.png dogs/night/1.png",
    "pictures/dogs/night/?.png": "dogs/night/1.png",
    "pictures/*/[2-9].png": "wolves/night/deep/2.png",
    "pictures/[!cd]*/": "wolves/night/deep/2.png",
    "pictures/rex.png": "rex.png",
    "*/1.png": "dogs/night/1.png",
}


def test_entries_are_folders_files_and_patterns(places: Places) -> None:
    blobs = list_files(places.animals, places.commits[0])
    with open_reader(places.animals) as reader:
        for entry, expected in ENTRIES.items():
            row = Repository("anna/animals", places.commits[0], {"dog": (entry,)})
            found = find_pictures(row, blobs, reader)
            names = [path.removeprefix("pictures/") for path in found]
            assert (" ".join(sorted(names)), set(found.values())) == (expected, {"dog"}), entry


def test_sources_of_the_repository_are_the_classes_that_groups_know(repository: Path) -> None:
    recipes = repository / "models" / "recipes"
    sources = read_sources(recipes / "sources" / "sharp-photos.toml")
    assert all(re.fullmatch("[0-9a-f]{40}", source.commit) for source in sources.repositories)
    names = [source.name for source in sources.repositories]
    assert len(set(names)) == len(names)
    classes = {name for source in sources.repositories for name in source.classes}
    known = KNOWN["sharp-photos"]
    assert classes == set(known.counts["train"])
    members = read_groups(recipes / "groups" / "everyday.toml").members
    used = [name for row in members.values() for name in row if name.startswith("sharp-photos/")]
    assert used
    assert {name.removeprefix("sharp-photos/") for name in used} <= classes
