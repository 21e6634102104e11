"""models.curves: the command line."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from models.curves import main

SVG = "{http://www.w3.org/2000/svg}"


def make_record(epochs: int = 3, name: str = "<photos>") -> dict[str, Any]:
    rows = [
        {
            "epoch": i + 1,
            "loss": 2.0 / (i + 1),
            "train_top1": 10.0 * i,
            "learning_rate": 0.002,
            "validation_top1": 20.0 * i,
            "validation_loss": 1.0,
        }
        for i in range(epochs)
    ]
    test = {"split": "test", "top1": 61.5, "top5": 90.0}
    return {
        "format": 1,
        "network": "meliusnet13",
        "data": {"name": name},
        "preprocessing": {"crop": 64},
        "recipe": {"epochs": 5},
        "epochs": rows,
        "test": test if epochs else None,
    }


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "record.json", tmp_path / "curves.svg"
    path.write_text(json.dumps(make_record()))
    assert main([str(path), str(path), "--out", str(out)]) == 0
    assert ET.parse(out).getroot().tag == f"{SVG}svg"
    assert main([str(tmp_path / "none"), "--out", str(out)]) == 2
    assert "expected the record of a run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"network": None}, "none of 'network'"),
        ({"data": {}}, "none of 'name'"),
        ({"epochs": [{"loss": 1.0}]}, "none of 'epoch'"),
        ({"epochs": [{"epoch": 1, "loss": "low"}]}, "must be real number, not str"),
        ({"epochs": [{"epoch": 1, "loss": float("nan")}]}, "a metric that is no finite number"),
    ],
)
def test_a_record_that_lacks_something_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], found: str
) -> None:
    record = {k: v for k, v in (make_record() | change).items() if v is not None}
    (tmp_path / "record.json").write_text(json.dumps(record))
    assert main([str(tmp_path / "record.json"), "--out", str(tmp_path / "curves.svg")]) == 2
    error = capsys.readouterr().err
    assert "record.json: expected the record of a run" in error
    assert f"found {found}. Give" in error
