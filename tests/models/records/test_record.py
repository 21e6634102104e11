"""models.records.record: is written whole, is checked when read."""

import json
from pathlib import Path

import pytest

from models.errors import DataError
from models.records.record import read_record, write_record


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_record(path, {"format": 1, "epochs": []})
    assert read_record(path) == {"format": 1, "epochs": []}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_record(path, {"loss": float("nan")})
    assert read_record(path) == {"format": 1, "epochs": []}


@pytest.mark.parametrize("content", ["", "[]", json.dumps({"format": 9, "epochs": []})])
def test_other_files_are_no_records(tmp_path: Path, content: str) -> None:
    (tmp_path / "record.json").write_text(content)
    with pytest.raises(DataError, match="expected the record of a run"):
        read_record(tmp_path / "record.json")
