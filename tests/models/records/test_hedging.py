"""models.records.hedging: what is written is read, with the name that lambda has in JSON."""

from models.records.hedging import HedgedRecord
from models.records.typed_json import as_json, parse_json
from tests.models.report.test_hedged import RECORD


def test_what_is_read_is_written() -> None:
    import json

    record = parse_json(
        HedgedRecord, json.dumps(RECORD), where="a file", expected="a record", remedy="None."
    )
    (level,) = record.levels
    assert (level.bonus, level.root_far, level.root_near) == (2.5, 0.75, None)
    written = as_json(record)
    assert written["levels"][0]["lambda"] == 2.5
    assert "root_near" not in written["levels"][0]
    assert {key: written[key] for key in RECORD} == RECORD
