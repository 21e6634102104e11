"""models.data.toml_files: what is no TOML file is named."""

from pathlib import Path

import pytest

from models.data.class_groups import read_groups
from models.data.sources import read_sources
from models.data.toml_files import read_toml
from models.errors import DataError


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("max_images = 3\n[groups]\nbird = ['owl', 'été']\n", "utf-8")
    assert read_toml(tmp_path / "a.toml") == {"max_images": 3, "groups": {"bird": ["owl", "été"]}}


@pytest.mark.parametrize("read", [read_toml, read_groups, read_sources])
@pytest.mark.parametrize("content", [None, b"no toml", b"max_images = '\xff'"])
def test_the_file_is_named(tmp_path: Path, read: object, content: bytes | None) -> None:
    path = tmp_path / "a.toml"
    if content is not None:
        path.write_bytes(content)
    assert callable(read)
    with pytest.raises(DataError, match=r"a\.toml: expected a TOML file; found"):
        read(path)
