"""service.settings.setting_types: sizes and lists as people write them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from service.settings.setting_types import Bytes, HostPatterns, Origins

_SIZES, _HOSTS, _ORIGINS = map(TypeAdapter, (Bytes, HostPatterns, Origins))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (5, 5),
        ("5", 5),
        ("256MiB", 2**28),
        ("256Mi", 2**28),
        (" 256 MiB ", 2**28),
        ("1GiB", 2**30),
        ("1.5GiB", 3 * 2**29),
        ("0.1Ki", 102),
        ("10MB", 10_000_000),
        ("10M", 10_000_000),
        ("2kB", 2000),
        ("2K", 2000),
        ("7B", 7),
    ],
)
def test_sizes(text: object, size: int) -> None:
    assert _SIZES.validate_python(text) == size


@given(st.integers(0, 2**60))
def test_whole_sizes_are_exact(size: int) -> None:
    assert _SIZES.validate_python(f"{size}KiB") == size * 1024


@pytest.mark.parametrize(
    "text", ["", "1,000", "256m", "256mib", "1 MiB more", "-1", "1e9", "MiB", "1Mbit", 1.5, "٣", []]
)
def test_what_is_no_size(text: object) -> None:
    with pytest.raises(ValidationError):
        _SIZES.validate_python(text)


def test_lists() -> None:
    for value in ("A.b, *.c,10.0.0.1", ["a.b.", "*.c", "10.0.0.1"], ("a.b", "*.c", "10.0.0.1/32")):
        assert _HOSTS.validate_python(value) == ("a.b", "*.c", "10.0.0.1/32")
    assert _ORIGINS.validate_python("https://a:443 ,http://b") == ("https://a", "http://b")
    assert _HOSTS.validate_python([]) == ()
    assert _HOSTS.validate_python("*") == ("*",)


@pytest.mark.parametrize("adapter", [_HOSTS, _ORIGINS])
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (" , ", "entries between its commas"),
        (["*", "https://a"], "."),
        ("a:b:c", "one entry is"),
        ([1], "valid string"),
        ({"a": 1}, "valid tuple"),
    ],
)
def test_what_is_no_list(adapter: TypeAdapter[Any], value: object, text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        adapter.validate_python(value)


def test_everything_is_not_one_of_several() -> None:
    with pytest.raises(ValidationError, match=r"\* alone"):
        _HOSTS.validate_python("*,a.b")
