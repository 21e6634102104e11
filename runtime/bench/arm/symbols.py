"""Whose code a block is: a function of the kernel library, or the file that it was mapped from."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable
from pathlib import PurePath
from typing import NamedTuple

UNKNOWN = "unmapped code"
# Of a demangled name: what comes before the function's own name, and what the compiler adds.
NAMESPACES = re.compile(r"\bbnn::|\(anonymous namespace\)::")
CLONE = re.compile(r"\.(constprop|part|isra|cold|lto_priv)(\.\d+)?")


class Function(NamedTuple):
    """A function's place in its library."""

    start: int
    end: int
    name: str


class Mapping(NamedTuple):
    """A part of a file in the memory of a process."""

    start: int
    end: int
    path: str


class Symbols:
    """Names of addresses of one process; `library` is the file whose functions are known."""

    def __init__(self, maps: str, library: str, functions: Iterable[Function]) -> None:
        self._mappings = sorted(parse_maps(maps))
        self._functions = sorted(functions)
        self._library = library
        starts = [mapping.start for mapping in self._mappings if mapping.path == library]
        self._base = min(starts, default=0)

    def name(self, address: int) -> str:
        """The function of the library, or the name of the file."""
        path = _find(self._mappings, address)
        if path is None:
            return UNKNOWN
        if path == self._library:
            function = _find(self._functions, address - self._base)
            if function is not None:
                return function
        return PurePath(path).name


def parse_maps(text: str) -> list[Mapping]:
    """The files in /proc/self/maps."""
    found = []
    for line in text.splitlines():
        words = line.split(maxsplit=5)
        if len(words) == 6 and words[5].startswith("/"):
            start, end = (int(address, 16) for address in words[0].split("-"))
            found.append(Mapping(start, end, words[5]))
    return found


def parse_functions(text: str) -> list[Function]:
    """The functions in what `nm --demangle --print-size` prints."""
    found = []
    for line in text.splitlines():
        words = line.split(maxsplit=3)
        if len(words) == 4 and words[2] in "tTwW":
            start, size = int(words[0], 16), int(words[1], 16)
            found.append(Function(start, start + size, shorten(words[3])))
    return found


def shorten(name: str) -> str:
    """A demangled name without namespaces of ours, arguments and template arguments."""
    name = CLONE.sub("", NAMESPACES.sub("", name)).replace("[clone ]", "").strip()
    kept, depth = "", 0
    for letter in name:
        if letter == "<":
            depth += 1
        elif letter == ">":
            depth -= 1
        elif letter == "(" and depth == 0:
            break
        elif depth == 0:
            kept += letter
    return kept.strip().rpartition(" ")[2]


def _find(places: list[Function] | list[Mapping], address: int) -> str | None:
    i = bisect.bisect_right(places, address, key=lambda place: place[0]) - 1
    return places[i][2] if i >= 0 and address < places[i][1] else None
