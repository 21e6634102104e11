"""models.curves: records become one chart, or what is wrong with them is said."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from models.curves import main
from tests.models.recorded_runs import make_record


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "record.json", tmp_path / "curves.svg"
    path.write_text(json.dumps(make_record()))
    assert main([str(path), str(path), "--out", str(out)]) == 0
    assert ElementTree.parse(out).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert main([str(tmp_path / "none"), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert "none: expected the record of a run, format 1; found none. Give a record.json" in error


def test_a_record_that_lacks_something_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = make_record(epochs=[{"epoch": 1}])
    (tmp_path / "record.json").write_text(json.dumps(record))
    assert main([str(tmp_path / "record.json"), "--out", str(tmp_path / "curves.svg")]) == 2
    error = capsys.readouterr().err
    assert "record.json: expected the record of a run" in error
    assert "it lacks epochs.0.loss, epochs.0.train_top1" in error
    assert not (tmp_path / "curves.svg").exists()
