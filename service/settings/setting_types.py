"""What settings are made of besides numbers and words: sizes in bytes, lists of hosts, origins."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode

from service.settings.addresses import ANY, parse_origin, parse_pattern

# Kubernetes leaves the B out. pydantic.ByteSize reads "1,000" as 1 and does not know "Mi". Small
# letters are refused: "256m" is 256 MiB to Docker, 256 MB to some and a quarter byte to Kubernetes.
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kKMGT]i?)?B?")
_POWERS = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4}


def _parse_size(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        raise PydanticCustomError("size", "Input should be bytes, as 1048576, 1MiB or 1Mi")
    unit = match[2] or ""
    base = 1024 if unit.endswith("i") else 1000
    return int(Decimal(match[1]) * base ** _POWERS[unit.removesuffix("i")])


def _split(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    entries = [entry for entry in map(str.strip, value.split(",")) if entry]
    if not entries:  # it would be taken for no restriction
        raise PydanticCustomError("empty", "Input should have entries between its commas")
    return entries


def _check_entries(
    parse: Callable[[str], Any], form: str
) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    def check(entries: tuple[str, ...]) -> tuple[str, ...]:
        for entry in entries:
            try:
                parse(entry)
            except ValueError as fault:
                text = "Input should be {form}; one entry is {fault}"
                raise PydanticCustomError(
                    "entry", text, {"form": form, "fault": str(fault)}
                ) from fault
        if ANY in entries and len(entries) > 1:
            raise PydanticCustomError("any", "Input should be * alone, or a list without it")
        return tuple(str(parse(entry)) for entry in entries)

    return check


#: Bytes: a number, or text such as 256MiB.
Bytes = Annotated[int, BeforeValidator(_parse_size)]
#: Entries of `allowed_hosts`, each an addresses.HostPattern as text; commas between them in text.
HostPatterns = Annotated[
    tuple[str, ...],
    NoDecode,
    BeforeValidator(_split),
    AfterValidator(
        _check_entries(parse_pattern, "host names, *.names, addresses or networks, without ports")
    ),
]
#: Origins as browsers send them; commas between them in text.
Origins = Annotated[
    tuple[str, ...],
    NoDecode,
    BeforeValidator(_split),
    AfterValidator(_check_entries(parse_origin, "origins such as https://example.org")),
]
