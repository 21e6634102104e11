"""service.settings.toml_file: faults name the file, values survive being written."""

import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.settings.toml_file import (
    InvalidToml,
    find_nearest,
    format_value,
    parse_toml,
    read_bytes,
)


def test_reads_with_or_without_a_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "f.toml"
    path.write_bytes("\ufeffa = 1\r\nb = 'ü'\r\n".encode())
    assert parse_toml(read_bytes(path), path) == {"a": 1, "b": "ü"}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"a = ", "expected TOML; found "),
        (b"a = '\xff'", "expected TOML in UTF-8"),
        ("a = 1".encode("utf-16"), "expected TOML in UTF-8"),
        (b"a = " + b"[" * 50_000, "expected TOML; found "),
        (b"#" * (2**20 + 1), "expected at most 1048576 bytes"),
    ],
)
def test_what_is_no_toml_names_the_file(tmp_path: Path, content: bytes, text: str) -> None:
    path = tmp_path / "f.toml"
    path.write_bytes(content)
    with pytest.raises(InvalidToml) as caught:
        parse_toml(read_bytes(path), path)
    assert str(caught.value).startswith(f"{path}: {text}")


@pytest.mark.parametrize("name", ["absent", ".", "null\0character"])
def test_what_cannot_be_read_names_the_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidToml, match="expected a TOML file; found none: "):
        read_bytes(tmp_path / name)


def test_the_nearest_name() -> None:
    assert find_nearest("prot", ["port", "host"]) == "port"
    assert find_nearest("xyz", ["port", "host"]) is None


_texts = st.text(max_size=30)


@given(
    value=st.one_of(
        _texts, st.booleans(), st.integers(), st.floats(allow_nan=False), st.lists(_texts)
    )
)
def test_values_are_read_back_as_they_were(value: object) -> None:
    line = f"a = {format_value(value)}  # a comment"
    assert tomllib.loads(line) == {"a": value}
    assert "\n" not in line
    assert all(char.isprintable() for char in line)


def test_text_that_is_no_unicode_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        format_value(Path(os.fsdecode(b"\xff")))
