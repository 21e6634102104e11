"""models.records.training_run: what is the same in a checkpoint and in a record."""

from dataclasses import fields

from models.records.record import Record
from models.records.training_run import Header, Split, TrainingRun
from models.records.typed_json import as_json, fields_of
from models.training.checkpoint import Checkpoint
from tests.models.recorded_runs import make_record, parse_record


def test_checkpoint_and_record_are_runs_with_a_header() -> None:
    run = {field.name for field in fields(TrainingRun)}
    assert {field.name for field in fields(Header)} < run
    assert {field.name for field in fields(Checkpoint)} - run == {"state"}
    more = {"format", "recipe", "seconds", "finished", "epochs"}
    assert {field.name for field in fields(Record)} - run == more


def test_splits_are_called_parts_in_files() -> None:
    record = parse_record(make_record())
    assert record.data.splits == {"test": Split(20, "ab12")}
    assert record.data.digests() == {"test": "ab12"}
    content = as_json(TrainingRun(**fields_of(TrainingRun, record)))
    assert content["data"]["parts"] == {"test": {"images": 20, "sha256": "ab12"}}
