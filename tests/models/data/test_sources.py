"""models.data.sources: the file of sources, its mistakes, and the one of the repository."""

import re
from pathlib import Path

import pytest

from models.data.catalog import KNOWN
from models.data.class_groups import read_groups
from models.data.sources import read_sources
from models.errors import DataError
from tests.models.places import LIMITS

COMMIT = "1" * 40
ROW = f'[[repository]]\nname = "a/b"\ncommit = "{COMMIT}"\n'
CLASSES = '[repository.classes]\ncat = ["x"]\ndog = ["y"]\n'


def test_sources_are_read(tmp_path: Path) -> None:
    file = tmp_path / "sources.toml"
    table = ROW.replace("a/b", "c/d.e") + 'table = "t.csv"\nfolder = "f"\n' + CLASSES
    file.write_text(LIMITS + ROW + CLASSES + table)
    sources = read_sources(file)
    assert (sources.min_side, sources.max_bytes, sources.side) == (8, 5000, 16)
    plain, labelled = sources.repositories
    assert (plain.name, plain.commit, plain.table, plain.folder) == ("a/b", COMMIT, None, None)
    assert plain.classes == {"cat": ("x",), "dog": ("y",)}
    assert (labelled.name, labelled.table, labelled.folder) == ("c/d.e", "t.csv", "f")
    assert labelled.clone_in(Path("clones")) == Path("clones", "c", "d.e")
    assert (plain.max_images, labelled.max_images) == (None, None)


def test_a_repository_may_have_another_limit_of_images_than_the_file(tmp_path: Path) -> None:
    file = tmp_path / "sources.toml"
    limited = ROW.replace("a/b", "c/d") + "max_images = 7\n" + CLASSES
    file.write_text(LIMITS + "max_images = 30\n" + ROW + CLASSES + limited)
    assert [source.max_images for source in read_sources(file).repositories] == [30, 7]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ROW + CLASSES, "expected a whole number min_side of at least 1; found None"),
        ("min_side = true", "expected a whole number min_side of at least 1; found True"),
        ("min_side = 1\nmax_bytes = 1.5", "whole number max_bytes of at least 1; found 1.5"),
        ("min_side = 1\nmax_bytes = 1\nside = 0", "whole number side of at least 1; found 0"),
        (LIMITS, r"expected tables \[\[repository\]\]; found None"),
        (LIMITS + "repository = []", r"expected tables \[\[repository\]\]; found \[\]"),
        (LIMITS + "[repository]\nname = 'a/b'", r"expected tables \[\[repository\]\]; found {"),
        (
            LIMITS + "repository = ['a/b']",
            "with name, commit, classes, table, folder, max_images, without; found .'a/b'",
        ),
        (
            LIMITS + ROW.replace("name", "licence = 'MIT'\nname"),
            "max_images, without; found .'licence'",
        ),
        (
            LIMITS + "max_images = 0\n" + ROW + CLASSES,
            "whole number max_images of at least 1; found 0",
        ),
        (
            LIMITS + ROW + "max_images = true\n" + CLASSES,
            "a/b: expected a whole number max_images of",
        ),
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
        (LIMITS + ROW + CLASSES + "'a/cow' = ['x']", "names of classes without /; found 'a/cow'"),
        (LIMITS + ROW + CLASSES + "'' = ['x']", "expected names of classes without /; found ''"),
        (LIMITS + ROW + "without = 'x'\n" + CLASSES, "a list of texts for without; found x"),
        (LIMITS + ROW + "without = []\n" + CLASSES, r"a list of texts for without; found \[\]"),
        (LIMITS + ROW + "[repository.classes]\ncat = ['x']", "expected at least 2 classes"),
    ],
)
def test_mistakes_in_a_file_are_explained(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "sources.toml").write_text(text)
    with pytest.raises(DataError, match=rf"sources\.toml: .*{message}"):
        read_sources(tmp_path / "sources.toml")


@pytest.mark.parametrize(
    "commit",
    [
        "1",
        "",
        "1" * 39,
        "1" * 41,
        "g" * 40,
        "A" * 40,
        "HEAD",
        "1" * 40 + "\\n",
        "--output=" + "1" * 31,
    ],
)
def test_a_commit_has_40_hexadecimal_digits(tmp_path: Path, commit: str) -> None:
    """A branch moves, and git would read the start of a name, or an option, in its own way."""
    (tmp_path / "sources.toml").write_text(LIMITS + ROW.replace(COMMIT, commit) + CLASSES)
    with pytest.raises(
        DataError, match="a/b: expected a commit, 40 digits of 0-9 and a-f; found"
    ) as error:
        read_sources(tmp_path / "sources.toml")
    assert str(error.value).endswith(f"found '{commit}'")


def test_sources_of_the_repository_are_the_classes_that_groups_know(repository: Path) -> None:
    recipes = repository / "models" / "recipes"
    sources = read_sources(recipes / "sources" / "sharp-photos.toml")
    assert all(re.fullmatch("[0-9a-f]{40}", source.commit) for source in sources.repositories)
    names = [source.name for source in sources.repositories]
    assert len(set(names)) == len(names)
    classes = {name for source in sources.repositories for name in source.classes}
    known = KNOWN["sharp-photos"]
    assert classes == set(known.counts["train"])
    for name in ("everyday-sharp", "everyday-photos"):
        members = read_groups(recipes / "groups" / f"{name}.toml").members
        rows = [entry.partition("/") for row in members.values() for entry in row]
        used = {class_name for where, _, class_name in rows if where == "sharp-photos"}
        assert used, name
        assert used <= classes, name


def test_everyday_photos_have_22_kinds_beside_others(repository: Path) -> None:
    recipes = repository / "models" / "recipes"
    sources = read_sources(recipes / "sources" / "everyday.toml")
    classes = {name for source in sources.repositories for name in source.classes}
    kinds = set(read_groups(recipes / "groups" / "everyday-photos.toml").members)
    assert len(kinds) == 22
    assert classes == {*kinds, "other", "unlabelled"}
    assert all(source.max_images for source in sources.repositories)  # none outweighs the others
