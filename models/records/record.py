"""The record of a run, record.json: what was trained, how, where and with which result.

Reports and curves are made from records alone. A record holds no path of the machine it was made
on. Its keys are described in README.md of models.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from models.errors import DataError
from models.records.figures import EpochMetrics
from models.records.training_run import Changes, TrainingRun
from models.records.typed_json import Finite, as_json, parse_json
from runtime.whole_file import write_whole

FORMAT: Literal[1] = 1
RECORD = "record.json"  # in the folder of a run
CONFUSION = "confusion.csv"  # beside the record


@dataclass(frozen=True, kw_only=True)
class Record(TrainingRun):
    """A run with its recipe and all its epochs; `finished` when it has run through them."""

    format: Literal[1] = FORMAT
    recipe: Changes
    seconds: Finite
    finished: bool
    epochs: tuple[EpochMetrics, ...]

    def as_json(self) -> dict[str, Any]:
        """As the file has it."""
        content = as_json(self)
        return {"format": content["format"], **content}


def write_record(path: Path, record: Record) -> None:
    """Writes the whole file or nothing: see write_whole."""
    text = json.dumps(record.as_json(), indent=1, allow_nan=False) + "\n"
    with write_whole(path) as stream:
        stream.write(text.encode())


def read_record(path: Path) -> Record:
    """Raises DataError if the file holds no record of this format."""
    expected = f"the record of a run, format {FORMAT}"
    remedy = "Give a record.json that models.train wrote."
    try:
        content = path.read_bytes()
    except OSError as error:
        found = "none" if isinstance(error, FileNotFoundError) else error.strerror
        raise DataError(f"{path}: expected {expected}; found {found}. {remedy}") from error
    return parse_json(Record, content, expected=expected, where=str(path), remedy=remedy)
