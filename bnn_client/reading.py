"""JSON to dataclasses: each member has its annotated type, or the answer is refused.

A member that is not there has its default value, if it has one.
"""

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

_T = TypeVar("_T")
_NAMES: dict[Any, str] = {str: "text", int: "a whole number", float: "a number", bool: "yes or no"}


class UnexpectedContent(ValueError):
    """A member is missing or has another type; the text names it and the expected type."""


def read_as(kind: type[_T], content: object) -> _T:
    """`content`, as json.loads gives it, as a dataclass. Raises UnexpectedContent."""
    value: _T = _read(kind, content, "the answer")
    return value


def _read(kind: Any, content: object, place: str) -> Any:
    if kind is Any:
        return content
    if kind in _NAMES:
        return _read_plain(kind, content, place)
    if kind is types.NoneType:
        if content is None:
            return None
        raise _describe("null", place)
    if is_dataclass(kind):
        return _read_members(kind, content, place)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Mapping:
        if not isinstance(content, dict):
            raise _describe("an object", place)
        return {name: _read(inner[1], value, f"{place}.{name}") for name, value in content.items()}
    if origin is tuple:  # of any length
        if not isinstance(content, list):
            raise _describe("a list", place)
        return tuple(_read(inner[0], value, f"{place}[{i}]") for i, value in enumerate(content))
    if origin in (Union, types.UnionType):
        return _read_one_of(inner, content, place)
    raise TypeError(f"expected an annotation that answers have; found {kind}")


def _read_plain(kind: type, content: object, place: str) -> Any:
    if kind is float and isinstance(content, int) and not isinstance(content, bool):
        try:
            return float(content)
        except OverflowError:
            raise _describe(_NAMES[kind], place) from None
    if not isinstance(content, kind) or (isinstance(content, bool) and kind is not bool):
        raise _describe(_NAMES[kind], place)
    return content


def _read_members(kind: Any, content: object, place: str) -> Any:
    if not isinstance(content, dict):
        raise _describe("an object", place)
    hints = _list_hints(kind)
    absent = [field for field in fields(kind) if field.name not in content]
    missing = [field.name for field in absent if field.default is MISSING]
    if missing:
        raise UnexpectedContent(f"expected {missing[0]!r} in {place}; found none")
    return kind(
        **{
            name: _read(hint, content[name], f"{place}.{name}")
            for name, hint in hints.items()
            if name in content
        }
    )


def _read_one_of(kinds: tuple[Any, ...], content: object, place: str) -> Any:
    """Reads as the first type that fits; raises the last one's fault if none does."""
    for kind in kinds[:-1]:
        try:
            return _read(kind, content, place)
        except UnexpectedContent:
            continue
    return _read(kinds[-1], content, place)


@cache
def _list_hints(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _describe(expected: str, place: str) -> UnexpectedContent:
    return UnexpectedContent(f"expected {expected} as {place}; found something else")
