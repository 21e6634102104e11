"""Reads a hierarchy over the labels of a bundle from a file that was written by hand.

The TOML file has a table for each node, whose key is the node's name: `phrase`, how a sentence
names one of it ("an animal"), and `below`, the names of nodes and labels right below it. The root
is the node that is below none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.data.toml_files import read_toml
from models.errors import DataError
from runtime import Node

_KEYS = {"phrase", "below"}


@dataclass(frozen=True)
class Draft:
    """What a hierarchy has before it is fitted: nodes, the parents of each label, and a notice."""

    nodes: tuple[Node, ...]
    parents: tuple[tuple[str, ...], ...]
    notice: str | None = None


def read_draft(path: Path, labels: Sequence[str]) -> Draft:
    """The hierarchy of a TOML file over these labels.

    Raises DataError for a file that is none, names that are unknown or twice, and labels that it
    lacks; circles and roots are for runtime.hierarchy to find.
    """
    tables = read_toml(path)
    twice = [name for name, count in Counter(labels).items() if count > 1]
    if twice:
        raise DataError(f"expected a bundle whose labels differ; found {twice[0]!r} twice")
    if named := set(tables) & set(labels):
        raise DataError(
            f"{path}: expected nodes called unlike labels; found {min(named)!r}. Rename it."
        )
    above: dict[str, list[str]] = {name: [] for name in (*tables, *labels)}
    for name, table in tables.items():
        fits = isinstance(table, dict) and table.keys() == _KEYS
        if not fits or not isinstance(table["phrase"], str) or not _is_list(table["below"]):
            raise DataError(
                f"{path}: {name}: expected a table with `phrase`, a text, and `below`, a list of "
                "names; found something else. Correct it."
            )
        for child in table["below"]:
            if child not in above:
                raise DataError(
                    f"{path}: {name}: expected names of nodes and of the bundle's labels; found "
                    f"{child!r}. Correct it, or give the hierarchy of these labels."
                )
            if name in above[child]:
                raise DataError(
                    f"{path}: {name}: expected each name below it once; found {child!r} twice. "
                    "Remove one."
                )
            above[child].append(name)
    lacking = [label for label in labels if not above[label]]
    if lacking:
        raise DataError(
            f"{path}: expected every label of the bundle below a node; found no place for "
            f"{', '.join(lacking[:5])}. Add it."
        )
    nodes = tuple(Node(name, table["phrase"], tuple(above[name])) for name, table in tables.items())
    return Draft(nodes, tuple(tuple(above[label]) for label in labels))


def _is_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
