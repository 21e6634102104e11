"""models.data.held_out: a list is halved evenly, read as written, and is what the set is."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.collect import Taken, gather, make_files
from models.data.held_out import (
    COLUMNS,
    HeldOut,
    drop_near_copies,
    gather_listed,
    halve,
    read_list,
    write_list,
)
from models.data.sources import read_sources
from models.errors import DataError, IncompleteData
from tests.models.data.test_near_copies import draw, encode
from tests.models.places import Places

ROW = HeldOut("anna/animals", "images/rex.png", "0" * 64, "dog", "figures")


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


def take(i: int, class_name: str = "cat", repository: str = "a/b", data: bytes = b"") -> Taken:
    digest = hashlib.sha256(f"{i}".encode()).digest()
    return Taken(class_name, repository, f"{i}.jpg", digest, data)


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from(("a/b", "c/d"))), max_size=40))
def test_each_class_and_each_source_of_it_is_halved(rows: list[tuple[str, str]]) -> None:
    images = [take(i, *row) for i, row in enumerate(rows)]
    listed = halve(images)
    assert sorted(row.path for row in listed) == sorted(image.path for image in images)
    for class_name, repository in set(rows):
        for of in ({class_name}, {class_name, repository}):
            mine = [row.half for row in listed if of <= {row.class_name, row.repository}]
            assert abs(mine.count("validation") - mine.count("figures")) <= 1
    assert halve(images[::-1]) == listed, "the order in which images are found tells nothing"


def test_a_list_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = [ROW, replace(ROW, path='a, "b"\n.png', sha256="1" * 64, half="validation")]
    path = tmp_path / "list.csv"
    write_list(rows, path)
    assert read_list(path) == rows
    with pytest.raises(FileExistsError):
        write_list(rows, path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the head repository,path,sha256,class_name,half; found $"),
        ("path\n", "found path$"),
        ("HEAD\na/b,x.jpg,00,cat\n", "line 2: expected .*; found a/b,x.jpg,00,cat$"),
        ("HEAD\na/b,x.jpg,00,cat,third\n", "a half validation or figures; found a/b,x.jpg"),
        ("HEAD\na/b,x,0,cat,figures\na/b,x,1,cat,figures\n", "expected each file once"),
        ("HEAD\na/b,x,0,cat,figures\na/b,y,0,cat,figures\n", "expected each sha256 once"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text.replace("HEAD", ",".join(COLUMNS)))
    with pytest.raises(DataError, match=message):
        read_list(path)


def test_a_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv: expected a list"):
        read_list(tmp_path / "none.csv")


def test_near_copies_go_and_the_first_of_a_kind_stays() -> None:
    photos = [encode(draw(1)), encode(draw(2)), encode(draw(3)), encode(draw(1), quality=40)]
    images = [take(i, data=data) for i, data in enumerate(photos)]
    trained = make_files([take(9, data=encode(draw(2), "PNG"))])
    kept, why = drop_near_copies(images, [trained])
    assert [image.path for image in kept] == ["0.jpg", "2.jpg"]
    assert why == {"near copy of another set's image": 1, "near copy within the set": 1}


def test_the_files_of_a_list_make_the_set(places: Places) -> None:
    sources = read_sources(places.sources)
    gathered = gather(sources, places.clones)
    rows = halve(gathered.images())
    halves = gather_listed(rows, sources, places.clones)
    assert {half: len(files) for half, files in halves.items()} == {"validation": 5, "figures": 3}
    whole = gathered.files()
    bytes_of = {whole.names[i]: whole.read(i) for i in range(len(whole))}
    for half, files in halves.items():
        mine = [row for row in rows if row.half == half]
        assert sorted(files.counts().items()) == sorted(
            (name, sum(row.class_name == name for row in mine)) for name in files.classes
        )
        for i, name in enumerate(files.names):
            assert files.read(i) == bytes_of[name]
    assert not set(halves["validation"].names) & set(halves["figures"].names)


def test_files_that_differ_from_the_list_are_named(places: Places) -> None:
    sources = read_sources(places.sources)
    rows = halve(gather(sources, places.clones).images())
    (rex,) = [row for row in rows if row.path == "images/rex.png"]
    changed = [
        replace(rex, sha256="0" * 64),
        replace(rex, path="images/gone.png", sha256="1" * 64),
    ]
    with pytest.raises(IncompleteData) as error:
        gather_listed([row for row in rows if row != rex] + changed, sources, places.clones)
    assert str(error.value).splitlines() == [
        f"expected the {len(rows) + 1} files of the list; 2 differ:",
        f"  anna/animals/images/rex.png: sha256 {rex.sha256}, not {'0' * 64}",
        "  anna/animals/images/gone.png: not in the clone",
        "Clone these repositories again.",
    ]
    with pytest.raises(DataError, match="the list has also eve/other"):
        gather_listed([replace(rex, repository="eve/other")], sources, places.clones)


def test_the_list_of_the_repository_is_of_its_sources_alone(repository: Path) -> None:
    """Each kind has 25 images and more, no source above 40 percent, and none that is trained on."""
    recipes = repository / "models" / "recipes"
    rows = read_list(recipes / "held-out.csv")
    sources = read_sources(recipes / "sources" / "held-out.toml")
    assert {row.repository for row in rows} <= {source.name for source in sources.repositories}
    classes = {name for source in sources.repositories for name in source.classes}
    assert classes == {row.class_name for row in rows}
    unknown = {"near", "far"}
    assert len(classes - unknown) == 22
    for class_name in classes:
        assert sum(row.class_name == class_name for row in rows) >= 25, class_name
    for part in (classes - unknown, unknown):
        of = [row.repository for row in rows if row.class_name in part]
        assert len(of) >= 1000
        names, counts = np.unique(of, return_counts=True)
        assert len(names) >= 5
        assert counts.max() <= 0.4 * len(of)
    trained = {
        source.name
        for name in ("sharp-photos", "everyday")
        for source in read_sources(recipes / "sources" / f"{name}.toml").repositories
    }
    shared = {source.name for source in sources.repositories} & trained
    assert shared <= {  # other folders of them
        "MachineLearning2020/Homework3-PACS",
        "yahyasarhan22/comparative-study-of-image-classification",
    }
