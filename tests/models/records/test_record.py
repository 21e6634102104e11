"""models.records.record: is written whole, is read as what it is, those of this repository too."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.errors import DataError
from models.records.record import read_record, write_record
from tests.models.recorded_runs import make_record, parse_record


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path, record = tmp_path / "record.json", parse_record(make_record())
    write_record(path, record)
    assert read_record(path) == record
    before = path.read_bytes()
    with pytest.raises(ValueError, match="JSON compliant"):
        write_record(path, replace(record, seconds=float("nan")))
    assert path.read_bytes() == before


def keep(content: Any, wanted: Any) -> Any:
    """Without what is null there and not written here."""
    if isinstance(content, list):
        return [keep(row, other) for row, other in zip(content, wanted, strict=True)]
    if not isinstance(content, dict):
        return content
    return {k: keep(v, wanted.get(k)) for k, v in content.items() if k in wanted or v is not None}


def test_records_of_this_repository_keep_all_that_is_in_them(repository: Path) -> None:
    paths = sorted((repository / "models" / "runs").glob("*/record.json"))
    assert len(paths) > 20
    for path in paths:
        content = json.loads(path.read_text())
        assert keep(read_record(path).as_json(), content) == content, path


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", "Invalid JSON"),
        ("[]", r"should be an object, found \[\]"),
        (json.dumps(make_record(format=9)), "format should be 1, found 9"),
        (json.dumps(make_record(network=3)), "network should be a valid string, found 3"),
        (json.dumps(make_record(rotation=3)), "this version does not know rotation"),
        (json.dumps(make_record(data={})), r"it lacks data\.name, data\.parts"),
        (json.dumps(make_record(epochs=[{"epoch": 1}])), r"it lacks epochs\.0\.loss"),
        (
            json.dumps(make_record(epochs=[make_record()["epochs"][0] | {"loss": float("nan")}])),
            r"epochs\.0\.loss should be a finite number, found nan",
        ),
    ],
)
def test_other_files_are_no_records(tmp_path: Path, content: str, found: str) -> None:
    (tmp_path / "record.json").write_text(content)
    with pytest.raises(
        DataError, match=rf"record\.json: expected the record of a run, format 1; .*{found}.* Give"
    ):
        read_record(tmp_path / "record.json")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"none\.json: expected the record of a run.*; found none\."
    ):
        read_record(tmp_path / "none.json")
