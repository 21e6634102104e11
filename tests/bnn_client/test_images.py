"""bnn_client.images: a path, bytes and an open file are the same image."""

import io
from pathlib import Path

import pytest

from bnn_client.images import read_image

CONTENT = b"\xff\xd8\xff"


def test_all_ways_to_give_one(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(CONTENT)
    given = (path, str(path), CONTENT, bytearray(CONTENT), memoryview(CONTENT), io.BytesIO(CONTENT))
    for image in given:
        assert read_image(image) == CONTENT
    with path.open("rb") as stream:
        assert read_image(stream) == CONTENT


def test_what_is_none(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="found int"):
        read_image(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="mode 'rb'"):
        read_image(io.StringIO("text"))  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "absent.jpg")
