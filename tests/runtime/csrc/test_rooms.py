"""The rooms of the kernel library: which folder may include which, as the document says it."""

import re
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[3] / "runtime" / "csrc"
DOCUMENT = SOURCES / "README.md"
ROOF = "csrc"  # bnn.h, which everybody sees


def read_rooms() -> dict[str, set[str]]:
    """Room -> the rooms it sees, in the order of the document's table, lowest first."""
    section = DOCUMENT.read_text().partition("## The rooms\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([\w/]+)/` \|.*\| ([^|]*) \|$", section, re.MULTILINE)
    return {room: set(re.findall(r"`([\w/.]+?)/?`", seen)) for room, seen in rows}


def list_sources() -> list[Path]:
    """All C++ files, relative to csrc."""
    kinds = {".h", ".cpp", ".inc"}
    paths = (path.relative_to(SOURCES) for path in SOURCES.rglob("*") if path.suffix in kinds)
    return sorted(paths)


def read_includes(path: Path) -> list[Path]:
    """What a file includes of csrc, as written."""
    text = (SOURCES / path).read_text()
    return [Path(name) for name in re.findall(r'^#include "([^"]+)"', text, re.MULTILINE)]


def room_of(path: Path) -> str:
    return str(path.parent) if path.parent != Path() else ROOF


def find_against_order(
    arrows: set[tuple[str, str]], rooms: dict[str, set[str]]
) -> list[tuple[str, str]]:
    """Arrows that the table does not permit."""
    return sorted(
        (from_, to) for from_, to in arrows if to not in {from_, ROOF, *rooms.get(from_, set())}
    )


def find_circle(arrows: dict[str, set[str]]) -> list[str]:
    """One circle of arrows, or nothing."""
    finished: set[str] = set()

    def walk(node: str, way: list[str]) -> list[str]:
        if node in way:
            return [*way[way.index(node) :], node]
        if node in finished:
            return []
        for target in sorted(arrows.get(node, set())):
            if circle := walk(target, [*way, node]):
                return circle
        finished.add(node)
        return []

    for start in sorted(arrows):
        if circle := walk(start, []):
            return circle
    return []


@pytest.fixture(scope="module")
def rooms() -> dict[str, set[str]]:
    return read_rooms()


def test_the_table_is_an_order(rooms):
    """Every room sees rooms above it in the table only: what stands lower in the house."""
    before: set[str] = set()
    for room, seen in rooms.items():
        assert seen <= before | {"bnn.h"}, f"{room} sees {seen - before}, which come later"
        before.add(room)


def test_the_table_names_every_room(rooms):
    assert {room_of(path) for path in list_sources()} == {ROOF, *rooms}


def test_no_include_goes_against_the_order(rooms):
    arrows = {
        (room_of(path), room_of(name)) for path in list_sources() for name in read_includes(path)
    }
    assert find_against_order(arrows, rooms) == []
    needless = {
        (room, seen)
        for room, sees in rooms.items()
        for seen in sees - {"bnn.h"}
        if (room, seen) not in arrows
    }
    assert not needless, "the table permits what nobody needs"


def test_no_files_include_each_other():
    arrows = {str(path): set(map(str, read_includes(path))) for path in list_sources()}
    assert find_circle(arrows) == []


def test_includes_are_written_from_the_root():
    missing = [
        (str(path), str(name))
        for path in list_sources()
        for name in read_includes(path)
        if not (SOURCES / name).is_file()
    ]
    assert missing == []


def test_a_wrong_arrow_is_found(rooms):
    """The checks themselves."""
    assert find_against_order({("core", "parts"), ("parts", "core")}, rooms) == [("core", "parts")]
    assert find_circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a", "b", "c", "a"]
    assert find_circle({"a": {"b", "c"}, "b": {"c"}}) == []
