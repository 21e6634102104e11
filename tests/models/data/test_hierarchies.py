"""models.data.hierarchies: a file by hand becomes nodes and parents, or is refused by name."""

from pathlib import Path

import pytest

from models.data.hierarchies import read_draft
from models.data.sources import read_sources
from models.data.toml_files import read_toml
from models.errors import DataError
from runtime import Hedger, Hierarchy, Level, Node
from runtime.errors import InvalidHierarchy

TEXT = """
[thing]
phrase = "a thing"
below = ["swimmer", "pet", "cat"]
[pet]
phrase = "a pet"
below = ["dog", "goldfish"]
[swimmer]
phrase = "a swimmer"
below = ["goldfish", "seal"]
"""
LABELS = ("cat", "dog", "goldfish", "seal")


def write(folder: Path, text: str) -> Path:
    path = folder / "h.toml"
    path.write_text(text)
    return path


def test_nodes_and_parents_by_name(tmp_path: Path) -> None:
    draft = read_draft(write(tmp_path, TEXT), LABELS)
    assert draft.nodes == (
        Node("thing", "a thing", ()),
        Node("pet", "a pet", ("thing",)),
        Node("swimmer", "a swimmer", ("thing",)),
    )
    assert draft.parents == (("thing",), ("pet",), ("pet", "swimmer"), ("swimmer",))
    assert draft.notice is None


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"seal"]', "]", "found no place for seal"),
        ('"seal"]', '"seal", "whale"]', "found 'whale'"),
        ('"dog",', '"dog", "dog",', "expected each name below it once; found 'dog' twice"),
        ('phrase = "a pet"', "", "pet: expected a table with `phrase`"),
        ('phrase = "a pet"', "phrase = 1", "pet: expected a table"),
        ('"dog", ', "3, ", "pet: expected a table"),
        ("[pet]", "[pet]\nextra = 1", "pet: expected a table"),
        ("[thing]", "thing = 3", "thing: expected a table"),
        ("[thing]", "[thing", "expected a TOML file"),
        ("[pet]", "[cat]", "nodes called unlike labels; found 'cat'. Rename it"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in TEXT
    with pytest.raises(DataError, match=says):
        read_draft(write(tmp_path, TEXT.replace(old, new)), LABELS)


def test_names_that_are_not_one_thing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="labels differ; found 'cat' twice"):
        read_draft(write(tmp_path, TEXT), (*LABELS, "cat"))
    named = TEXT.replace("pet", "cat")
    with pytest.raises(DataError, match="nodes called unlike labels; found 'cat'"):
        read_draft(write(tmp_path, named), LABELS)


def test_a_circle_is_refused_when_it_becomes_a_hierarchy(tmp_path: Path) -> None:
    text = TEXT.replace('"dog",', '"dog", "swimmer",').replace('"seal"]', '"seal", "pet"]')
    draft = read_draft(write(tmp_path, text), LABELS)
    with pytest.raises(InvalidHierarchy, match="without a circle"):
        Hierarchy(draft.nodes, draft.parents, (Level(0.5, 0.0),), 1)


@pytest.fixture
def kinds(repository: Path) -> tuple[str, ...]:
    """What the everyday photos are gathered as."""
    sources = read_sources(repository / "models" / "recipes" / "sources" / "everyday.toml")
    found = {name for one in sources.repositories for name in one.classes}
    return tuple(sorted(found - {"other", "unlabelled"}))


def test_everyday_kinds_have_a_hierarchy_that_reads_well(
    repository: Path, kinds: tuple[str, ...]
) -> None:
    path = repository / "models" / "recipes" / "hierarchies" / "everyday.toml"
    draft = read_draft(path, kinds)
    assert len(kinds) == 22
    assert len(draft.nodes) == len(read_toml(path))
    hedger = Hedger(Hierarchy(draft.nodes, draft.parents, (Level(0.5, 0.0),), 1), kinds)
    covered = {
        node.name: {kinds[i] for i in row.nonzero()[0]}
        for node, row in zip(hedger.nodes, hedger.covered, strict=True)
    }
    assert covered["mammal"] == {"cat", "dog", "cow", "elephant", "monkey"}
    assert covered["vehicle"] == {"boat", "bus", "car", "train", "truck"}
    for node in draft.nodes:
        article, _, rest = node.phrase.partition(" ")
        if node.phrase not in ("something", "something to eat"):
            assert article == ("an" if rest[0] in "aeiou" else "a"), node.phrase
