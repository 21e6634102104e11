"""models.data.splits: what is held back, by content; packs hold back the same."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from shutil import copytree, rmtree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.__main__ import main
from models.data.datasets import DataSet, open_data_set
from models.data.image_files import ImageFiles
from models.data.splits import hold_back, split_off
from models.errors import DataError
from tests.models.images import make_files, write_image, write_two_colours


def make_numbered(numbers: Sequence[int], prefix: str = "") -> ImageFiles:
    """Images of three classes; an image's content is its number."""
    names = tuple(f"{prefix}{number}" for number in numbers)
    labels = tuple(number % 3 for number in numbers)
    return ImageFiles(names, labels, ("a", "b", "c"), lambda i: str(numbers[i]).encode())


@given(st.integers(6, 60), st.floats(0.01, 0.9), st.randoms())
def test_split_is_disjoint_complete_has_every_class_and_knows_images_again(
    n: int, share: float, random: Random
) -> None:
    files = make_numbered(range(n))
    rest, held = split_off(files, share)
    assert sorted([*rest.names, *held.names], key=int) == list(files.names)
    assert set(rest.labels) == set(held.labels) == {0, 1, 2}
    shuffled = random.sample(range(n), n)
    renamed = split_off(make_numbered(shuffled, prefix="copy of "), share)[1]
    assert {name.removeprefix("copy of ") for name in renamed.names} == set(held.names)


def test_a_few_more_images_leave_most_of_the_held_back_ones_held_back() -> None:
    _, held = split_off(make_numbered(range(300)), 0.2)
    rest, _ = split_off(make_numbered(range(330)), 0.2)
    trained_on_before = set(map(str, range(300))) - set(held.names)
    assert len(set(held.names) & set(rest.names)) <= 6
    assert len(trained_on_before & set(rest.names)) >= 230


@given(copies=st.lists(st.integers(1, 4), min_size=2, max_size=8), share=st.floats(0.05, 0.95))
def test_copies_of_a_image_are_never_on_both_sides(copies: list[int], share: float) -> None:
    images = {f"{i}-{copy}": bytes([i]) for i, count in enumerate(copies) for copy in range(count)}
    files = make_files({"a": images, "b": {"0": b"", "1": b"x"}})
    rest, held = split_off(files, share)
    assert sorted([*rest.names, *held.names]) == sorted(files.names)
    assert not {rest.read(i) for i in range(len(rest))} & {held.read(i) for i in range(len(held))}
    assert 0 not in {*rest.counts().values(), *held.counts().values()}


@pytest.mark.parametrize("extra", [b"a", b"b", b"c"])
def test_many_copies_of_a_image_are_not_the_part_held_back(extra: bytes) -> None:
    images = {f"copy{i}": b"x" for i in range(9)} | {"other": extra}
    rest, held = split_off(make_files({"a": images, "b": {"0": b"", "1": b"y"}}), 0.2)
    assert (rest.counts()["a"], held.counts()["a"]) == (9, 1)


def test_a_class_of_one_image_stays_in_the_rest() -> None:
    files = make_files({"a": {"1": b""}, "b": {"2": b"x", "3": b"y"}})
    rest, held = split_off(files, 0.5)
    assert rest.counts() == {"a": 1, "b": 1}
    assert held.counts() == {"a": 0, "b": 1}


def letters(text: str) -> ImageFiles:
    """Of "CLASS/LETTER ...", the classes a and b; the letter is what an image shows."""
    names = tuple(text.split())
    labels = tuple("ab".index(name[0]) for name in names)
    return ImageFiles(names, labels, ("a", "b"), lambda i: names[i][2:].encode())


def make_set(train: str, validation: str | None, test: str | None) -> DataSet:
    later = [None if text is None else letters(text) for text in (validation, test)]
    return DataSet("letters", letters(train), later[0], later[1], ("cat", "dog"))


@pytest.mark.parametrize(
    ("validation", "test", "train", "watched"),
    [
        ("a/x b/y", None, "a/c a/d a/e b/G b/H", "a/x b/y"),
        ("a/c b/y b/d", "b/x", "a/e b/G b/H", "a/c b/y b/d"),  # copies of another class, too
        ("a/x b/G b/y", "a/G b/c", "a/d a/e b/H", "a/x b/y"),  # G is tested on alone
        ("a/G", "b/G", "a/c a/d a/e b/H", ""),
    ],
)
@pytest.mark.parametrize("share", [0.01, 0.9])
def test_a_part_to_watch_by_stays_but_for_copies_of_test_images(
    validation: str, test: str | None, train: str, watched: str, share: float
) -> None:
    data = make_set("a/c a/d a/e b/G b/H", validation, test)
    kept = hold_back(data, share)
    assert kept.validation is not None
    assert kept.train.names == tuple(train.split())
    assert kept.validation.names == tuple(watched.split())
    assert kept.test is data.test
    assert (kept.name, kept.labels) == ("letters", ("cat", "dog"))


@pytest.mark.parametrize("validation", [None, ""])
@pytest.mark.parametrize("test", [None, "a/C b/a"])
def test_without_a_part_to_watch_by_a_share_of_train_is(
    validation: str | None, test: str | None
) -> None:
    data = make_set("a/a a/b a/c a/d a/e b/A b/B b/C b/D b/E", validation, test)
    kept = hold_back(data, 0.5)
    not_tested_on = data.train.without(letters(test or ""))
    assert len(not_tested_on) == (8 if test else 10)
    rest, held = split_off(not_tested_on, 0.5)
    assert kept.validation is not None
    assert (kept.train.names, kept.validation.names) == (rest.names, held.names)
    assert kept.validation.counts() == {"a": 2, "b": 2}
    assert kept.test is data.test


@pytest.mark.parametrize(
    ("validation", "test", "lost"),
    [
        ("a/d a/c b/z", None, "a"),
        (None, "a/y b/G a/H", "b"),
        ("a/G a/c b/z", "a/d b/H", "a, b"),
    ],
)
def test_a_class_that_has_copies_of_later_parts_alone_is_named(
    validation: str | None, test: str | None, lost: str
) -> None:
    with pytest.raises(DataError, match=rf"letters: expected.*; found none for: {lost}\. Add"):
        hold_back(make_set("a/c a/d b/G b/H", validation, test), 0.5)


@pytest.mark.parametrize("options", [[], ["--side", "8"], ["--side", "8", "--shards", "3"]])
def test_packs_hold_back_what_training_on_the_untouched_set_would(
    tmp_path: Path, options: list[str]
) -> None:
    write_two_colours(tmp_path / "set", train=40)
    copy = (tmp_path / "set" / "test" / "red" / "1.png").read_bytes()
    (tmp_path / "set" / "train" / "red" / "a copy of it.png").write_bytes(copy)
    folder = open_data_set(tmp_path / "set")
    assert folder.test is not None
    parts = hold_back(folder, 0.2).parts()  # as models.training.run does
    rest, held = parts["train"], parts["validation"]
    assert (len(rest), len(held)) == (32, 8)
    command = ["pack", str(tmp_path / "set"), "--out", str(tmp_path / "packs")]
    assert main([*command, "--validation-share", "0.2", *options]) == 0
    packed = open_data_set(tmp_path / "packs")
    assert packed.validation is not None
    assert packed.test is not None
    assert packed.train.names == rest.names
    assert packed.validation.names == held.names
    assert packed.test.sha256() == folder.test.sha256()
    same = packed.validation.sha256() == held.sha256()
    assert same == (packed.train.sha256() == rest.sha256()) == (not options)


def test_the_content_after_packing_would_choose_others(tmp_path: Path) -> None:
    """Which is why packs of another side need the option."""
    write_two_colours(tmp_path / "set", train=40)
    command = ["pack", str(tmp_path / "set"), "--out", str(tmp_path / "packs"), "--side", "8"]
    assert main(command) == 0
    held, after = (
        split_off(open_data_set(tmp_path / name).train, 0.2)[1].names for name in ("set", "packs")
    )
    assert held != after


def test_validation_share_is_refused_where_it_makes_no_sense(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_two_colours(tmp_path / "set")
    command = ["pack", str(tmp_path / "set"), "--out", str(tmp_path / "p"), "--validation-share"]
    for share in ("0", "1", "-0.5", "2", "nan"):
        assert main([*command, share]) == 2
        message = f"expected --validation-share between 0 and 1; found {float(share)}"
        assert message in capsys.readouterr().err
    write_image(tmp_path / "set" / "val" / "blue" / "1.png", 1)
    write_image(tmp_path / "set" / "val" / "red" / "2.png", 2)
    assert main([*command, "0.2"]) == 2
    assert "set: expected a set without val for --validation-share" in capsys.readouterr().err
    rmtree(tmp_path / "set" / "val")
    (tmp_path / "set" / "test").rename(tmp_path / "test")
    assert main([*command, "0.2"]) == 2
    message = "set: expected a set with a test split for --validation-share; found none. Leave the"
    assert message in capsys.readouterr().err
    (tmp_path / "test").rename(tmp_path / "set" / "test")
    rmtree(tmp_path / "set" / "train" / "red")
    copytree(tmp_path / "set" / "test" / "red", tmp_path / "set" / "train" / "red")
    assert main([*command, "0.2"]) == 2
    assert "set: expected, for every class, training images" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()
