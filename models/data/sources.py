"""Lists of public repositories of images, from which models.gather makes a data set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.data.toml_files import read_toml
from models.errors import DataError

LIMIT_KEYS = ("min_side", "max_bytes", "side")
MOST = "max_images"
WITHOUT = "without"


@dataclass(frozen=True)
class Repository:
    """classes: class -> folders or files, or labels in the table; max_images of each class.

    without: folders or files that are in no class.
    """

    name: str
    commit: str
    classes: Mapping[str, tuple[str, ...]]
    table: str | None = None
    folder: str | None = None
    max_images: int | None = None
    without: tuple[str, ...] = ()

    def clone_in(self, clones: Path) -> Path:
        """The folder of its clone."""
        return clones.joinpath(*self.name.split("/"))


@dataclass(frozen=True)
class Sources:
    """What SOURCES.toml says: `min_side` and `side` in pixels."""

    repositories: tuple[Repository, ...]
    min_side: int
    max_bytes: int
    side: int


def read_sources(path: Path) -> Sources:
    """Raises DataError for a file that is not as described."""
    content = read_toml(path)
    limits = {key: content.get(key) for key in LIMIT_KEYS}
    for key, value in limits.items():
        if type(value) is not int or value < 1:
            raise DataError(f"{path}: expected a whole number {key} of at least 1; found {value}")
    most = _read_most(content, None, str(path))
    rows = content.get("repository")
    if not isinstance(rows, list) or not rows:
        raise DataError(f"{path}: expected tables [[repository]]; found {str(rows)[:80]}")
    repositories = tuple(_read_repository(row, path, most) for row in rows)
    if len({c for repository in repositories for c in repository.classes}) < 2:
        raise DataError(f"{path}: expected at least 2 classes; found fewer")
    return Sources(repositories, **{key: content[key] for key in LIMIT_KEYS})


def _read_most(table: Mapping[str, Any], default: int | None, where: str) -> int | None:
    most: int | None = table.get(MOST, default)
    if MOST in table and (type(most) is not int or most < 1):
        raise DataError(f"{where}: expected a whole number {MOST} of at least 1; found {most!r}")
    return most


def _read_repository(row: Any, path: Path, most: int | None) -> Repository:
    wanted = {"name": str, "commit": str, "classes": dict}
    optional = {"table": str, "folder": str}
    known = (*wanted, *optional, MOST, WITHOUT)
    unknown = sorted(set(row) - set(known)) if isinstance(row, dict) else [row]
    if unknown:
        raise DataError(
            f"{path}: expected [[repository]] with {', '.join(known)}; found {str(unknown)[:80]}"
        )
    for key, kind in (wanted | optional).items():
        if not isinstance(row.get(key), kind) and (key in wanted or key in row):
            raise DataError(
                f"{path}: expected {key} of {row.get('name')} as a "
                f"{'table' if kind is dict else 'text'}; found {str(row.get(key))[:80]}"
            )
    if not re.fullmatch(r"[0-9a-f]{40}", row["commit"]):
        raise DataError(
            f"{path}: {row['name']}: expected a commit, 40 digits of 0-9 and a-f; found "
            f"{row['commit']!r}"
        )
    if row["name"].count("/") != 1 or ".." in row["name"]:
        raise DataError(f"{path}: expected a name owner/repository; found {row['name']}")
    if ("table" in row) != ("folder" in row):
        raise DataError(f"{path}: {row['name']}: expected table and folder together; found one")
    for name, entries in (row["classes"] | {WITHOUT: row.get(WITHOUT, ["none"])}).items():
        texts = isinstance(entries, list) and all(isinstance(entry, str) for entry in entries)
        if not texts or not entries:
            raise DataError(
                f"{path}: {row['name']}: expected a list of texts for {name}; found "
                f"{str(entries)[:80]}"
            )
        if "/" in name or not name:
            raise DataError(f"{path}: expected names of classes without /; found {name!r}")
    classes = {name: tuple(entries) for name, entries in row["classes"].items()}
    most = _read_most(row, most, f"{path}: {row['name']}")
    return Repository(
        row["name"],
        row["commit"],
        classes,
        row.get("table"),
        row.get("folder"),
        most,
        tuple(row.get(WITHOUT, ())),
    )
