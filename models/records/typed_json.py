"""Typed values from JSON, and back; missing, unknown and wrongly typed fields are named."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import fields
from functools import lru_cache
from typing import Annotated, Any, TypeVar, cast

from pydantic import Field, TypeAdapter, ValidationError

from models.errors import DataError, TrainingFault
from runtime.errors import RuntimeFault

SHOWN = 5  # faults of a file
T = TypeVar("T")


def is_none(value: object) -> bool:
    return value is None


Finite = Annotated[float, Field(allow_inf_nan=False)]
#: a number that is not written where there is none
OptionalFinite = Annotated[Finite | None, Field(exclude_if=is_none)]
OptionalCount = Annotated[int | None, Field(exclude_if=is_none)]


@lru_cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def parse_json(
    kind: type[T],
    content: str | bytes,
    *,
    where: str,
    expected: str,
    remedy: str,
    fault: type[TrainingFault] = DataError,
) -> T:
    """A dataclass of this kind, each field of its type and none besides.

    where: the file's name. Raises `fault`, which says what was expected and what is found there.
    """
    try:
        value: T = _adapter(cast(Hashable, kind)).validate_json(
            content, strict=True, extra="forbid"
        )
    except ValidationError as error:
        found = _describe(error)
    except RuntimeFault as error:  # of a part that the runtime checks, as preprocessing
        found = str(error)
    else:
        return value
    raise fault(f"{where}: expected {expected}; {found.rstrip('.')}. {remedy}")


def as_json(value: object) -> Any:
    """Numbers, texts, lists and dictionaries, from which parse_json makes an equal value."""
    return _adapter(cast(Hashable, type(value))).dump_python(value, mode="json", by_alias=True)


def fields_of(kind: Any, value: object) -> dict[str, Any]:
    """The fields of a dataclass `kind`, out of a value of it or of one derived from it."""
    return {field.name: getattr(value, field.name) for field in fields(kind)}


def _describe(error: ValidationError) -> str:
    lacking, unknown, others = [], [], []
    for fault in error.errors(include_url=False):
        place = ".".join(map(str, fault["loc"]))
        if fault["type"] == "missing":
            lacking.append(place)
        elif fault["type"] == "unexpected_keyword_argument":
            unknown.append(place)
        else:
            message = fault["msg"].removeprefix("Value error, ")
            message = message.replace("Input should be", "should be")
            told = fault["type"] in ("json_invalid", "value_error")
            found = "" if told else f", found {str(fault['input'])[:80]}"
            others.append(f"{place} {message}{found}".strip())
    parts = [f"it lacks {', '.join(lacking[:SHOWN])}"] if lacking else []
    parts += [f"this version does not know {', '.join(unknown[:SHOWN])}"] if unknown else []
    return "; ".join([*parts, *others[:SHOWN]])
