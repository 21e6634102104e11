"""Reads a list of names, one per line or separated by NUL, while it arrives."""

import os
from collections.abc import Iterator

#: Bytes of a name; paths have at most 4096, keys of object stores 1024.
MAX_NAME_BYTES = 8192
_CHUNK = 65_536


class InvalidList(Exception):
    """A file that should be a list of names is none; the text says why."""


def read_list(descriptor: int, by_nul: bool, title: str) -> Iterator[str]:
    """The names of an open file without empty lines; blanks belong to names, a final CR does not.

    Holds one name and 64 KiB. Bytes that are not UTF-8 become what Python's file functions use.
    Raises InvalidList, OSError.
    """
    end = b"\0" if by_nul else b"\n"
    rest = b""
    count = 0
    while True:
        # Not through a stream: at the interpreter's exit its lock may still be held by a reader.
        chunk = os.read(descriptor, _CHUNK)
        *lines, rest = (rest + chunk).split(end)
        if not chunk:
            lines, rest = [rest], b""
        for line in lines:
            count += 1
            name = line if by_nul else line.removesuffix(b"\r")
            _check(name, count, by_nul, title)
            if name:
                yield os.fsdecode(name)
        if not chunk:
            return
        _check(rest, count + 1, by_nul, title)


def _check(name: bytes, number: int, by_nul: bool, title: str) -> None:
    if len(name) > MAX_NAME_BYTES:
        raise InvalidList(
            f"{title}: expected names of at most {MAX_NAME_BYTES} bytes; name {number} has more. "
            + ("Without -0, names end at line ends." if by_nul else "With -0, names end at NUL.")
            + " An image itself is given as a file, or as - from standard input."
        )
    if b"\0" in name:
        raise InvalidList(
            f"{title}: expected one name a line; name {number} has a NUL byte. Is it an image, or "
            "a list for -0?"
        )
