"""TOML files that operators write, settings and keys: read, with every fault naming the file."""

import difflib
import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_MAX_BYTES = 2**20


class InvalidToml(Exception):
    """The file cannot be read or is no TOML; the text names it and quotes none of its values."""


def read_bytes(path: Path) -> bytes:
    """The content of a small file. Raises InvalidToml."""
    try:
        with path.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as fault:  # ValueError: a path with a null character
        reason = getattr(fault, "strerror", None) or str(fault)
        raise InvalidToml(f"{path}: expected a TOML file; found none: {reason}") from fault
    if len(content) > _MAX_BYTES:
        raise InvalidToml(f"{path}: expected at most {_MAX_BYTES} bytes of TOML; found more")
    return content


def parse_toml(content: bytes, path: Path) -> dict[str, Any]:
    """The tables of a TOML file; a byte-order mark is passed over. Raises InvalidToml."""
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as fault:
        raise InvalidToml(f"{path}: expected TOML in UTF-8; found another encoding") from fault
    except (ValueError, RecursionError) as fault:
        raise InvalidToml(f"{path}: expected TOML; found {fault}") from fault


def find_nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a misspelt one most likely means."""
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1)), None)


def format_value(value: object) -> str:
    """A text, path, number, truth or sequence of texts as TOML. Raises ValueError for text without.

    What is no Unicode, as some file names, cannot be in a TOML file.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(format_value, value))}]"
    text = str(value)
    text.encode()  # lone surrogates are a UnicodeEncodeError, a ValueError
    quoted = json.dumps(text, ensure_ascii=False)  # its escapes are among TOML's
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in quoted)
