"""models.records.attack: a record comes back from its file; anything else is refused."""

import json
from pathlib import Path

import pytest

from models.errors import DataError
from models.records.attack import Check, read_attack, write_attack
from tests.models.attack_records import make_attack_record


def test_a_record_comes_back(tmp_path: Path) -> None:
    record = make_attack_record()
    write_attack(tmp_path / "a.json", record)
    assert read_attack(tmp_path / "a.json") == record


def test_one_failed_check_makes_it_weak() -> None:
    passed = Check(name="a", passed=True, told="")
    assert make_attack_record(checks=(passed,)).strong
    assert not make_attack_record(checks=(passed, Check(name="b", passed=False, told=""))).strong


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_attack(path, make_attack_record())
    content = json.loads(path.read_text())
    for name, text in (
        ("less", json.dumps({k: v for k, v in content.items() if k != "checks"})),
        ("more", json.dumps(content | {"secret": 1})),
        ("newer", json.dumps(content | {"format": 2})),
        ("cut", path.read_text()[:50]),
    ):
        (tmp_path / f"{name}.json").write_text(text)
        with pytest.raises(DataError, match=rf"{name}.json: expected an answer of models.attack"):
            read_attack(tmp_path / f"{name}.json")
    with pytest.raises(DataError, match=r"none.json: expected an answer of models.attack; found"):
        read_attack(tmp_path / "none.json")
