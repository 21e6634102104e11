"""models.data.catalog: the tables add up, and say how many images of a class a part has."""

import re
from collections import Counter
from pathlib import Path

import pytest

from models.data.catalog import (
    IMAGENETTE,
    IMAGEWOOF,
    KNOWN,
    NAMES,
    PHOTOS,
    KnownSet,
    Photo,
)
from models.data.held_out import read_list

PARTS = ("train", "validation", "test")


def test_the_tables_add_up_to_the_counted_copies() -> None:
    for photos, train, validation in ((IMAGENETTE, 9103, 3791), (IMAGEWOOF, 8687, 3767)):
        assert sum(photo.train for photo in photos) == train
        assert sum(photo.validation for photo in photos) == validation
        assert [p.wnid for p in photos] == sorted(p.wnid for p in photos)
        assert [p.index for p in photos] == sorted(p.index for p in photos)
    assert len(PHOTOS) == 20
    assert "imagenette+imagewoof" in NAMES


@pytest.mark.parametrize("name", KNOWN)
def test_each_table_counts_as_many_classes_as_it_says(name: str) -> None:
    known = KNOWN[name]
    assert sum(map(bool, (known.each, known.photos, known.counts))) == 1, "in one way"
    assert not known.photos or len(known.photos) == known.classes
    assert set(known.each) | set(known.counts) <= set(PARTS)
    assert all(count > 0 for count in known.each.values())
    for counts in known.counts.values():
        assert len(counts) == known.classes
        assert list(counts) == sorted(counts)
        assert all(count > 0 for count in counts.values())


@pytest.mark.parametrize("name", KNOWN)
def test_each_source_is_a_commit_or_a_file_of_the_repository(name: str, repository: Path) -> None:
    source = KNOWN[name].source
    where, _, version = source.partition("@")
    if not (repository / source).is_file():
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", where)
        assert re.fullmatch(r"[0-9a-f]{40}(:[\w/.-]+)?", version)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (KnownSet("", 9, {"train": 5, "test": 2}), {"cat": (5, 0, 2), "other": (5, 0, 2)}),
        (
            KnownSet("", 2, counts={"train": {"cat": 3, "dog": 4}, "test": {"cat": 1, "dog": 2}}),
            {"cat": (3, 0, 1), "dog": (4, 0, 2), "other": (0, 0, 0)},
        ),
        (
            KnownSet("", 1, photos=(Photo("n1", 0, "tench", 7, 3),)),
            {"n1": (7, 3, 50), "tench": (0, 0, 0)},
        ),
    ],
)
def test_expected_images_of_a_class(known: KnownSet, expected: dict[str, tuple[int, ...]]) -> None:
    found = {c: tuple(known.expected(part, c) for part in PARTS) for c in expected}
    assert found == expected


def test_a_gathered_set_comes_from_its_file_of_sources(repository: Path) -> None:
    """By its path alone: the error about a copy that is not whole names it as the remedy."""
    source = KNOWN["sharp-photos"].source
    assert source == "models/recipes/sources/sharp-photos.toml"
    assert (repository / source).is_file()


def count_images(known: KnownSet, split: str) -> int:
    if known.each:
        return known.classes * known.each.get(split, 0)
    classes = [photo.wnid for photo in known.photos] or known.counts.get(split, ())
    return sum(known.expected(split, class_name) for class_name in classes)


def test_the_table_of_the_readme_has_the_counts_and_sources_of_all_sets(repository: Path) -> None:
    readme = (repository / "models" / "README.md").read_text(encoding="utf-8")
    _, _, table = readme.partition("\n| `--set` |")
    table, _, _ = table.partition("\n\n")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    told = {name.strip("`"): (where, counts) for name, where, counts in rows[2:]}
    assert told.keys() == set(NAMES)
    for name, (where, counts) in told.items():
        members = [KNOWN[member] for member in name.split("+")]
        found = [sum(count_images(known, split) for known in members) for split in PARTS]
        plain = re.sub(r" \(its val\)$", "", counts)
        assert plain == " / ".join(f"{count:,}" if count else "-" for count in found), name
        repository_name, _, version = members[0].source.partition("@")
        if len(members) == 1 and version:
            assert where.startswith(f"`{repository_name}` @ {version[:8]}, "), name


def test_two_sets_are_there_to_test_on_alone() -> None:
    alone = [name for name, known in KNOWN.items() if not known.has_train]
    assert alone == ["held-out", "imagenet-samples"]


def test_the_held_out_set_counts_as_its_list_does(repository: Path) -> None:
    rows = read_list(repository / "models" / "recipes" / "held-out.csv")
    known = KNOWN["held-out"]
    assert (repository / known.source).is_file()
    for half, part in (("validation", "validation"), ("figures", "test")):
        counts = Counter(row.class_name for row in rows if row.half == half)
        assert known.counts[part] == dict(sorted(counts.items()))
