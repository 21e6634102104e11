"""The canonical form of JSON (RFC 8785): one sequence of bytes for one value, in every language."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

MAX_PLAIN = 21  # digits before the point that are written without an exponent
MIN_PLAIN = -6  # zeros behind the point that are


def parse_strictly(text: bytes) -> Any:
    """The value of a JSON text in UTF-8 without ambiguity.

    Raises ValueError for text that is not JSON, a key that an object has twice, and NaN, Infinity
    or a number beyond float64; RecursionError.
    """
    return json.loads(
        text.decode(),
        parse_constant=_refuse_constant,
        parse_float=_finite,
        object_pairs_hook=_without_repetition,
    )


def canonical(value: Any) -> bytes:
    """A JSON value as RFC 8785 writes it.

    No white space; keys sorted by their UTF-16 code units; strings in UTF-8 with the shortest
    escapes; floats as ECMAScript writes them. Whole numbers are written with all their digits, also
    beyond 2^53, where RFC 8785 would round. Raises ValueError for NaN, infinity and text that is
    not Unicode; TypeError for types that JSON lacks; RecursionError.
    """
    return _write(value).encode()


def _write(value: Any) -> str:
    if value is None or isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _write_float(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_write, value))}]"
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return "{" + ",".join(f"{_write(key)}:{_write(value[key])}" for key in keys) + "}"
    raise TypeError(f"expected a value that JSON has, found {type(value).__name__}")


def _write_float(value: float) -> str:
    """As ECMAScript's Number.prototype.toString, which has the same digits as Python's repr."""
    if not math.isfinite(value):
        raise ValueError(f"expected a finite number, found {value}")
    if value == 0:
        return "0"
    negative, numbers, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    digits = "".join(map(str, numbers))
    point = len(digits) + exponent  # the value is 0.DIGITS * 10^point
    if len(digits) <= point <= MAX_PLAIN:
        text = digits.ljust(point, "0")
    elif 0 < point <= MAX_PLAIN:
        text = f"{digits[:point]}.{digits[point:]}"
    elif MIN_PLAIN < point <= 0:
        text = f"0.{'0' * -point}{digits}"
    else:
        fraction = f".{digits[1:]}" if len(digits) > 1 else ""
        text = f"{digits[0]}{fraction}e{point - 1:+d}"
    return f"-{text}" if negative else text


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name}, which JSON does not know")


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"the number {text[:40]}, which is beyond float64")
    return value


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice[:80]!r} twice in one object")
    return content
