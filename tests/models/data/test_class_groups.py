"""models.data.class_groups: classes of several sets become groups of one."""

from dataclasses import replace
from pathlib import Path

import pytest

from models.data.class_groups import Groups, group_sets, read_groups
from models.data.datasets import DataSet
from models.data.image_files import ImageFiles
from models.errors import DataError
from runtime import read_bundle
from tests.models.images import make_files

GROUPS = Groups({"pet": ("cat", "dog"), "bird": ("owl",)}, max_images=5, max_test_images=3)


def make_set(name: str, classes: dict[str, int]) -> DataSet:
    """So many training images of each class, half as many to test, none to validate by."""

    def make(counts: dict[str, int], part: str = "") -> ImageFiles:
        return make_files(
            {
                c: {f"{i:02}.jpg": f"{name} {c} {i}{part}".encode() for i in range(count)}
                for c, count in counts.items()
            }
        )

    train, test = make(classes), make({c: k // 2 for c, k in classes.items()}, " test")
    return DataSet(name, train, None, test, train.classes)


def test_classes_become_groups_limited_evenly() -> None:
    sets = {"a": make_set("a", {"cat": 8, "dog": 4, "car": 6}), "b": make_set("b", {"owl": 4})}
    parts = group_sets(GROUPS, sets)
    assert parts["train"].classes == ("bird", "pet")
    assert parts["train"].counts() == {"bird": 4, "pet": 5}
    assert parts["test"].counts() == {"bird": 2, "pet": 3}
    pets = [name for name in parts["train"].names if not name.startswith("b/")]
    assert pets == ["a/cat/00.jpg", "a/cat/01.jpg", "a/cat/02.jpg", "a/dog/00.jpg", "a/dog/01.jpg"]
    for i, name in enumerate(parts["train"].names):
        where, class_name, file = name.split("/")
        assert parts["train"].read(i) == f"{where} {class_name} {int(file[:2])}".encode()


def test_a_class_comes_from_the_first_set_that_has_it() -> None:
    sets = {"a": make_set("a", {"cat": 4, "dog": 4}), "b": make_set("b", {"cat": 9, "owl": 4})}
    names = group_sets(replace(GROUPS, max_images=100), sets)["train"].names
    assert not any(name.startswith("b/cat") for name in names)
    assert sum(name.startswith("a/cat") for name in names) == 4


def test_validation_images_are_trained_on() -> None:
    data = make_set("a", {"cat": 2, "dog": 2, "owl": 2})
    data = replace(data, validation=make_files({"owl": {"v.jpg": b"v"}, "cat": {"v.jpg": b"v"}}))
    assert group_sets(GROUPS, {"a": data})["train"].counts() == {"bird": 3, "pet": 5}


def test_all_classes_of_a_set_may_be_a_group() -> None:
    sets = {"a": make_set("a", {"cat": 4, "owl": 3}), "b": make_set("b", {"rose": 2, "tulip": 2})}
    groups = Groups(
        {"pet": ("cat",), "flower": ("b/*",), "bird": ("owl",)}, max_images=9, max_test_images=9
    )
    assert group_sets(groups, sets)["train"].counts() == {"bird": 3, "flower": 4, "pet": 4}
    with pytest.raises(DataError, match=r"flower: expected a set of a; found b/\*"):
        group_sets(groups, {"a": sets["a"]})
    twice = replace(groups, members={**groups.members, "bird": ("owl", "a/*")})
    with pytest.raises(DataError, match=r"found twice: cat and a/\*, owl and a/\*$"):
        group_sets(twice, sets)


def test_a_class_may_be_taken_from_a_given_set() -> None:
    """Though another has a class of that name first; it may have both."""
    sets = {"a": make_set("a", {"cat": 4, "dog": 4}), "b": make_set("b", {"cat": 6, "owl": 4})}
    groups = Groups(
        {"pet": ("b/cat", "dog"), "bird": ("b/owl",)}, max_images=99, max_test_images=99
    )
    parts = group_sets(groups, sets)
    assert parts["train"].counts() == {"bird": 4, "pet": 10}
    assert parts["test"].counts() == {"bird": 2, "pet": 5}
    cats = [name.rpartition("/")[0] for name in parts["train"].names if "/cat/" in name]
    assert cats == ["b/cat"] * 6
    apart = replace(groups, members={"wild": ("cat",), "tame": ("b/cat", "a/dog")})
    assert group_sets(apart, sets)["train"].counts() == {"tame": 10, "wild": 4}


def test_classes_of_one_name_in_two_sets_share_a_group_evenly() -> None:
    sets = {"a": make_set("a", {"cat": 9, "owl": 1}), "b": make_set("b", {"cat": 9, "dog": 9})}
    groups = Groups({"pet": ("cat", "b/cat"), "bird": ("owl",)}, max_images=6, max_test_images=2)
    parts = group_sets(groups, sets)
    for part, each in (("train", 3), ("test", 1)):
        names = [name.rpartition("/")[0] for name in parts[part].names if "/cat/" in name]
        assert names == ["a/cat"] * each + ["b/cat"] * each


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (("cat", "c/cat"), r"pet: expected a set of a, b; found c/cat\. Give the set with --from"),
        (("cat", "/cat"), "pet: expected a set of a, b; found /cat"),
        (
            ("cat", "lion"),
            r"expected every class in one of a, b; found none of lion\. Give the set",
        ),
        (("cat", "a/owl"), r"found none of a/owl\. "),
        (("cat", "a/lion", "tiger", "b/tiger"), r"found none of a/lion, tiger, b/tiger\. "),
        (("cat", "a/cat"), "expected each class in one group; found twice: cat and a/cat$"),
        (("a/cat", "b/cat", "a/*"), r"the groups: .* found twice: a/cat and a/\*$"),
        (("a/*", "cat", "dog"), r"found twice: a/\* and cat, a/\* and dog$"),
        (("cat", "a/cat", "a/*"), r"found twice: cat and a/cat and a/\*$"),
        (("cat", "cat"), "found twice: cat$"),
        (("cat", "b/owl"), "the groups: .* found twice: b/owl and owl$"),
    ],
)
def test_classes_of_given_sets_are_checked(members: tuple[str, ...], message: str) -> None:
    sets = {"a": make_set("a", {"cat": 4, "dog": 4}), "b": make_set("b", {"cat": 4, "owl": 4})}
    groups = Groups({"pet": members, "bird": ("owl",)}, max_images=9, max_test_images=9)
    with pytest.raises(DataError, match=message):
        group_sets(groups, sets)


def test_of_a_set_without_a_test_part_a_tenth_is_tested_on() -> None:
    data = make_set("a", {"cat": 20, "dog": 20, "owl": 20})
    parts = group_sets(
        replace(GROUPS, max_images=99, max_test_images=99), {"a": replace(data, test=None)}
    )
    assert parts["train"].counts() == {"bird": 18, "pet": 36}
    assert parts["test"].counts() == {"bird": 2, "pet": 4}
    assert not set(parts["train"].names) & set(parts["test"].names)


def test_no_test_image_is_trained_on_under_another_name() -> None:
    data = make_set("a", {"cat": 4, "dog": 4, "owl": 4})
    again = make_files(
        {"owl": {"copy.jpg": b"a owl 1 test", "new.jpg": b"new"}, "cat": {}, "dog": {}}
    )
    parts = group_sets(GROUPS, {"a": replace(data, train=again)})
    assert parts["test"].counts()["bird"] == 2
    assert [name for name in parts["train"].names if "owl" in name] == ["a/owl/new.jpg"]


def test_missing_classes_are_named() -> None:
    with pytest.raises(DataError, match="expected every class in one of a; found none of owl"):
        group_sets(GROUPS, {"a": make_set("a", {"cat": 2, "dog": 2})})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "max_images = 1\nmax_test_images = 1",
            "expected whole numbers max_images and max_test_images, and a table",
        ),
        (
            "max_images = inf\nmax_test_images = 1\n[groups]\na = ['x']",
            r"expected whole numbers .* found inf",
        ),
        ("max_images = 1.5\nmax_test_images = 1\n[groups]\na = ['x']", "expected whole numbers"),
        (
            "max_images = 1\nmax_test_images = 1\n[groups]\na = 'cat'",
            "a list of class names for a; found cat",
        ),
        (
            "max_images = 1\nmax_test_images = 1\n[groups]\na = ['x']\nb = ['x']",
            "found twice: .'x'",
        ),
        (
            "max_images = 1\nmax_test_images = 1\n[groups]\na = ['s/x', 's/x']",
            "found twice: .'s/x'",
        ),
        ("max_images = 1\nmax_test_images = 1\n[groups]\na = ['x']", "at least 2 groups"),
        (
            "max_images = 0\nmax_test_images = 1\n[groups]\na = ['x']\nb = ['y']",
            "limits of at least 1",
        ),
        ("max_images = 1\nmax_test_images = 1\n[groups]\na = ['x']\nb = []", "classes in each"),
    ],
)
def test_mistakes_in_a_file_are_explained(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "groups.toml").write_text(text)
    with pytest.raises(DataError, match=message):
        read_groups(tmp_path / "groups.toml")


@pytest.mark.parametrize("name", ["everyday-bees", "everyday-sharp", "everyday-photos"])
def test_groups_of_the_repository_are_what_the_default_model_knows(
    repository: Path, name: str
) -> None:
    folder = repository / "models" / "recipes" / "groups"
    known = read_bundle(repository / "service" / "bundles" / "default").manifest.labels
    trained = read_groups(folder / f"{name}.toml").members
    tested = read_groups(folder / "one-of-each.toml").members
    assert sorted(trained) == list(known)
    assert sorted(tested) == [group for group in known if group != "bridge"]
    learned_from = {entry.rpartition("/")[2] for members in trained.values() for entry in members}
    assert not learned_from & {entry for members in tested.values() for entry in members}
