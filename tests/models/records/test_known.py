"""The records of models.known in this repository, and what a record must have."""

import json
from pathlib import Path

import pytest

from models.errors import DataError
from models.records.known import KnownRecord
from models.records.typed_json import as_json, parse_json

RECORDS = sorted(Path("models/runs/held-out").glob("*.json"))


def parse(content: str) -> KnownRecord:
    return parse_json(KnownRecord, content, where="here", expected="a record", remedy="")


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_every_record_here_is_one(path: Path) -> None:
    content = json.loads(path.read_text())
    record = parse(path.read_text())
    assert record.test.auroc_far[record.source] is not None
    assert as_json(record) == content


def test_there_are_records() -> None:
    assert RECORDS


@pytest.mark.parametrize("key", ["source", "test", "sha256"])
def test_a_record_without_a_key_is_refused(key: str) -> None:
    content = json.loads(RECORDS[0].read_text())
    del content[key]
    with pytest.raises(DataError, match=key):
        parse(json.dumps(content))
