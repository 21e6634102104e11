"""runtime.hierarchy: what makes no hierarchy is refused by name, from Python and from a bundle."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runtime import Bundle, HedgeFigures, Hierarchy, Level, LevelFigures, Node, errors, read_bundle
from runtime.hierarchy import MAX_NODES, MAX_PARENTS, sort_downwards
from tests.runtime.hierarchies import ANIMALS, LABELS, LEVELS, PARENTS, make_hierarchy
from tests.runtime.manifests import edit, make_hierarchy_manifest, write_example

ROOT = ANIMALS[0]


def change_node(of: str, **fields: Any) -> tuple[Node, ...]:
    return tuple(replace(node, **fields) if node.name == of else node for node in ANIMALS)


@pytest.mark.parametrize(
    ("nodes", "says"),
    [
        ((), f"1 to {MAX_NODES} nodes; found 0"),
        ((ROOT,) * (MAX_NODES + 1), f"1 to {MAX_NODES} nodes; found {MAX_NODES + 1}"),
        (ANIMALS[1:], r"parents that are nodes; found 'thing'"),
        ((*ANIMALS, Node("pet", "a pet", ("thing",))), "names that differ; found 'pet' twice"),
        ((*ANIMALS, Node("god", "a god", ())), "one root, which has no parents; found 2"),
        (change_node("thing", parents=("pet",)), "one root, which has no parents; found 0"),
        (change_node("animal", parents=("pet",)), "without a circle; found one of"),
        (change_node("animal", parents=("animal",)), "without a circle"),
        (change_node("pet", parents=("animal", "animal")), "up to 16 parents, each once"),
        (
            (*ANIMALS, Node("bird", "a bird", ("animal",))),
            "two labels or more below 'bird'; found 0",
        ),
        (change_node("pet", name="", parents=("animal",)), "printable characters; found ''"),
        (change_node("pet", phrase="a\npet"), "nodes.phrase: expected up to 200 printable"),
        (change_node("pet", phrase=7), "nodes.phrase"),
        (change_node("pet", name=math.nan), "nodes.name"),
    ],
)
def test_what_is_no_hierarchy_is_refused(nodes: tuple[Node, ...], says: str) -> None:
    with pytest.raises(errors.InvalidHierarchy, match=says):
        Hierarchy(nodes, PARENTS, LEVELS, 1)


@pytest.mark.parametrize(
    ("parents", "says"),
    [
        ((*PARENTS[:5], ()), r"labels\[5\]: expected one parent or more; found none"),
        ((*PARENTS[:5], ("ship",)), r"labels\[5\]: expected parents that are nodes; found 'ship'"),
        ((("thing",),), "labels: expected 2 labels or more"),
        ((*PARENTS[:5], ("pet",)), "two labels or more below 'vehicle'; found 1"),
        ((*PARENTS, *[("pet", "swimmer")] * 2, ("vehicle", "vehicle")), "each once"),
    ],
)
def test_labels_without_their_place_are_refused(
    parents: tuple[tuple[str, ...], ...], says: str
) -> None:
    with pytest.raises(errors.InvalidHierarchy, match=says):
        Hierarchy(ANIMALS, parents, LEVELS, 1)


def test_two_nodes_over_the_same_labels_are_refused() -> None:
    twin = Node("companion", "a companion", ("animal",))
    parents = tuple((*p, "companion") if "pet" in p else p for p in PARENTS)
    with pytest.raises(errors.InvalidHierarchy, match="other labels below 'companion' than below"):
        Hierarchy((*ANIMALS, twin), parents, LEVELS, 1)


@pytest.mark.parametrize(
    ("levels", "says"),
    [
        ((), "1 to 100 levels"),
        ((Level(0.9, 1.0), Level(0.8, 2.0)), "ascending numbers"),
        ((Level(0.0, 1.0),), "between 0 and 1"),
        ((Level(1.0, 1.0),), "between 0 and 1"),
        ((Level(math.nan, 1.0),), "between 0 and 1; found nan"),
        ((Level(0.8, 2.0), Level(0.9, 1.0)), "numbers that don't fall"),
        ((Level(0.8, None), Level(0.9, 1.0)), "null last"),
        ((Level(0.8, -0.1),), "levels.lambda"),
        ((Level(0.8, math.nan),), "levels.lambda: expected a number from 0"),
        ((Level(0.8, math.inf),), "levels.lambda: expected a number from 0"),
        ((Level(0.8, 1e7),), "levels.lambda: expected a number from 0"),
    ],
)
def test_levels_that_make_no_table_are_refused(levels: tuple[Level, ...], says: str) -> None:
    with pytest.raises(errors.InvalidHierarchy, match=says):
        make_hierarchy(levels)


def test_the_next_stricter_level_is_found() -> None:
    hierarchy = make_hierarchy()
    asked = [0.01, 0.5, 0.500001, 0.9, 0.95, 0.99, 0.991]
    found = [hierarchy.find_level(certainty) for certainty in asked]
    assert [level and level.certainty for level in found] == [0.5, 0.5, 0.9, 0.9, 0.99, 0.99, None]


def test_a_node_called_like_a_label_is_refused() -> None:
    make_hierarchy().check_labels(LABELS)
    with pytest.raises(errors.InvalidHierarchy, match="names that no label has; found pet"):
        make_hierarchy().check_labels(("pet", *LABELS[1:]))


def test_parents_come_before_children() -> None:
    nodes = tuple(reversed(ANIMALS))
    names = [nodes[i].name for i in sort_downwards(nodes)]
    assert sorted(names) == sorted(node.name for node in ANIMALS)
    for node in nodes:
        assert all(names.index(above) < names.index(node.name) for above in node.parents)
    assert make_hierarchy().root == ROOT


def test_figures_are_shares_of_the_levels() -> None:
    figures = LevelFigures(0.5, 1.0, 0.2, 0.1, 1.0, 0.1)
    with pytest.raises(errors.InvalidHierarchy, match=r"the certainties of `levels`; found .0.5."):
        replace(make_hierarchy(), measured=HedgeFigures((figures,), 1, "d", ""))
    with pytest.raises(errors.InvalidHierarchy, match=r"measured.levels.got: expected a share"):
        HedgeFigures((replace(figures, got=math.nan),), 1, "d", "")
    with pytest.raises(errors.InvalidHierarchy, match=r"measured.images"):
        HedgeFigures((figures,), 0, "d", "")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_example(tmp_path, make_hierarchy_manifest())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda h: h.pop("levels"), "no 'levels'"),
        (lambda h: h.update(extra=1), "unknown key 'extra'"),
        (lambda h: h.update(nodes={}), "where a list is expected"),
        (lambda h: h["nodes"].append(3), "where an object is expected"),
        (lambda h: h["nodes"][0].update(parents=["insect"]), "one root"),
        (lambda h: h["nodes"][0].update(name="ant"), "labels.0.: expected parents that are nodes"),
        (lambda h: h["nodes"][0].update(parents="insect"), "where a list is expected"),
        (lambda h: h.update(labels=[["insect"]] * 3), "parents of 2 labels; found 3"),
        (lambda h: h.update(labels=[["insect"], [None]]), "printable text is expected"),
        (lambda h: h["levels"][0].update({"lambda": "0"}), "levels.lambda"),
        (lambda h: h["levels"][0].update({"lambda": True}), "levels.lambda"),
        (lambda h: h["levels"][0].update(certainty=None), "levels.certainty"),
        (lambda h: h.update(images=0), "hierarchy.images: expected a whole number above 0"),
        (lambda h: h.update(notice="\0"), "hierarchy.notice"),
        (lambda h: h.update(notice="a" * 10_000), "hierarchy.notice"),
        (lambda h: h["measured"].update(levels=3), "where a list is expected"),
        (lambda h: h["measured"]["levels"].pop(), "the certainties of `levels`"),
        (lambda h: h["measured"]["levels"][0].pop("got"), "no 'got'"),
    ],
)
def test_wrong_hierarchies_of_bundles_are_refused_by_name(
    bundle: Bundle, change: Callable[[dict[str, Any]], Any], says: str
) -> None:
    edit(bundle, lambda m: change(m["hierarchy"]))
    with pytest.raises(errors.InvalidManifest, match=says):
        read_bundle(bundle.path)


def test_too_many_parents_are_refused() -> None:
    nodes = (ROOT, *(Node(f"{i}", "it", ("thing",)) for i in range(MAX_PARENTS + 1)))
    names = tuple(node.name for node in nodes[1:])
    with pytest.raises(errors.InvalidHierarchy, match="up to 16 parents"):
        Hierarchy(nodes, (names, names), LEVELS, 1)
