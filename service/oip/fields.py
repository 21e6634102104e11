"""Reads members of JSON objects by name and type."""

from typing import Any, TypeVar

from service.oip.errors import refuse

_Kind = TypeVar("_Kind")
_WORDS: dict[type, str] = {
    bool: "true or false",
    dict: "an object",
    int: "a whole number",
    list: "an array",
    str: "a text",
}


def find(content: dict[str, Any], key: str, kind: type[_Kind], where: str = "") -> _Kind | None:
    """The member `key`, of exactly this type; None: it is absent or null.

    Raises Problem bad_request; `where` names the object in its text.
    """
    value = content.get(key)
    if value is not None and type(value) is not kind:  # True is an int to isinstance
        raise refuse(f"{_WORDS[kind]} in {where}{key}", "something else")
    return value


def take(content: dict[str, Any], key: str, kind: type[_Kind], where: str = "") -> _Kind:
    """The same for a required member."""
    value = find(content, key, kind, where)
    if value is None:
        raise refuse(f"{_WORDS[kind]} in {where}{key}", "none")
    return value


def take_all(content: dict[str, Any], key: str, kind: type[_Kind], where: str = "") -> list[_Kind]:
    """The array `key`, each of its elements of exactly this type; empty if there is none."""
    values: list[Any] = find(content, key, list, where) or []
    if any(type(value) is not kind for value in values):
        raise refuse(f"an array in {where}{key}, each element {_WORDS[kind]}", "something else")
    return values
