"""The record of a run, record.json: from what, how, where and with which outcome it was trained.

Reports and curves are made from records alone. A record holds no path of the machine it was made
on. Its keys are described in README.md of models.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.errors import DataError
from runtime.whole_file import write_whole

FORMAT = 1
CONFUSION = "confusion.csv"  # beside the record


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """At once: see write_whole."""
    text = json.dumps(record, indent=1, allow_nan=False) + "\n"
    with write_whole(path) as stream:
        stream.write(text.encode())


def read_record(path: Path) -> dict[str, Any]:
    """Raises DataError if the file holds no record of this format."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected the record of a run, found {error}") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT or "epochs" not in record:
        raise DataError(f"{path}: expected the record of a run, format {FORMAT}; found other JSON")
    return record
