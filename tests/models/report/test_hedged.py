"""models.report.hedged: a table of each record, and records that are none."""

import json
from pathlib import Path
from typing import Any

import pytest

from models.errors import DataError
from models.report.hedged import describe_hedged, read_hedged

SHARES = {
    "images": 20, "got": 0.955, "interval": [0.9, 0.98], "information": 0.5, "root": 0.125,
    "label": 0.25,
}  # fmt: skip
LEVEL = {"certainty": 0.95, "lambda": 2.5, **SHARES, "root_far": 0.75}
PLAIN = {**SHARES, "threshold": None, "got": 1.0}
IMAGES = {"images_known": 1234, "images_far": 3, "images_near": 0, "sha256": "ab"}
RECORD: dict[str, Any] = {
    "bundle": "tiny", "labels": 1000, "nodes": 396, "temperature": 1.5, "fitted_on": IMAGES,
    "measured_on": IMAGES, "top1": 0.72917, "answer_us": 15.2,
    "levels": [{**LEVEL, "plain": PLAIN}], "data": "pets",
    "engine": "native/generic", "commit": None, "device": "a CPU", "hierarchy_sha256": "cd",
}  # fmt: skip


def test_a_record_becomes_a_table(tmp_path: Path) -> None:
    assert describe_hedged(read_hedged(tmp_path)) == []
    (tmp_path / "one.json").write_text(json.dumps(RECORD))
    title, text, name, facts, table = describe_hedged(read_hedged(tmp_path))
    assert (title, name) == ("## Hedged answers", "### one")
    assert "which says nothing" in text
    assert facts == (
        "tiny, 1,000 labels below 396 nodes; fitted on 1,234 images of `pets`, measured on 1,234 "
        "others: top-1 72.9 %, an answer by all scores takes 15 us "
        "([record](runs/hedged/one.json))."
    )
    row = "| 95 | 95.5 (90.0 to 98.0) | 50.0 | 25.0 | 12.5 | 100.0 | 50.0 | 75.0 | - |"
    assert table.splitlines()[2] == row


@pytest.mark.parametrize(
    "change", [{"levels": [LEVEL]}, {"top1": None}, {"more": 1}, {"fitted_on": {}}]
)
def test_what_models_hedge_did_not_print_is_refused(tmp_path: Path, change: Any) -> None:
    (tmp_path / "one.json").write_text(json.dumps(RECORD | change))
    with pytest.raises(DataError, match=r"one\.json: expected what models\.hedge printed"):
        read_hedged(tmp_path)
