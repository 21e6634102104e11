"""service.bulk.name_lists: whatever bytes come, however they are cut into pieces."""

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bulk import name_lists
from service.bulk.name_lists import InvalidList, read_list


def read(data: bytes, by_nul: bool = False) -> list[str]:
    """The names of what comes through a pipe."""
    reader, writer = os.pipe()

    def write() -> None:
        with open(writer, "wb") as stream:
            stream.write(data)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        return list(read_list(reader, by_nul, "LIST"))
    finally:
        os.close(reader)
        thread.join()


@given(
    names=st.lists(st.binary(min_size=1, max_size=12).map(lambda name: name.replace(b"\0", b"0"))),
    chunk=st.integers(1, 7),
    is_ended=st.booleans(),
)
def test_names_with_nul_between_them_can_be_anything(
    names: list[bytes], chunk: int, is_ended: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(name_lists, "_CHUNK", chunk)
        data = b"\0".join(names) + (b"\0" if is_ended else b"")
        assert read(data, by_nul=True) == [os.fsdecode(name) for name in names]


def test_lines() -> None:
    assert read(b"a.jpg\r\n\n b c.jpg \nlast\xff") == ["a.jpg", " b c.jpg ", "last\udcff"]
    assert read(b"") == []


@pytest.mark.parametrize(
    ("data", "by_nul"),
    [(b"a\n" + b"x" * 9000, False), (b"\xff\xd8\0\x10\n", False), (b"x" * 200_000, True)],
)
def test_what_is_no_list(data: bytes, by_nul: bool, tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(data)
    descriptor = os.open(tmp_path / "list", os.O_RDONLY)
    with pytest.raises(InvalidList, match="LIST: expected"):
        list(read_list(descriptor, by_nul, "LIST"))
    os.close(descriptor)
