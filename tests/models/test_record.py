"""models.record: names the code, is written whole, is checked when read."""

import json
import subprocess
from pathlib import Path

import pytest
import torch

from models import record
from models.errors import DataError
from models.record import describe_code, describe_device, find_commit, read_record, write_record
from tests.models.repositories import commit_folder


@pytest.fixture(autouse=True)
def _no_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests may themselves run in a copy that says whence it comes."""
    monkeypatch.delenv("BNN_COMMIT", raising=False)


def test_commit_is_that_of_the_repository(repository: Path) -> None:
    answer = subprocess.run(
        ["git", "-C", repository, "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    if answer.returncode:
        pytest.skip("no git, or not a git work tree")
    commit = find_commit()
    assert commit is not None
    assert commit.removesuffix("+changes") == answer.stdout.strip()
    assert describe_code()["commit"] == commit


def test_an_installed_copy_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "__file__", str(tmp_path / "record.py"))
    assert find_commit() is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_commit() is None


def test_a_copy_outside_of_its_repository_has_the_commit_that_it_is_said_to_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "__file__", str(tmp_path / "record.py"))
    monkeypatch.setenv("BNN_COMMIT", "0123abc+changes")
    assert find_commit() == "0123abc+changes"
    assert describe_code()["commit"] == "0123abc+changes"
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        assert find_commit() == "0123abc+changes", "without git, too"
    monkeypatch.setenv("BNN_COMMIT", "")
    assert find_commit() is None


def test_inside_of_a_repository_nothing_else_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of this file's own: an installed copy may lie in a folder of another one that ignores it."""
    code = tmp_path / "record.py"
    monkeypatch.setattr(record, "__file__", str(code))
    monkeypatch.setenv("BNN_COMMIT", "elsewhere")
    (tmp_path / "other.py").touch()
    commit_folder(tmp_path)
    code.touch()
    assert find_commit() == "elsewhere"
    commit = commit_folder(tmp_path)
    assert find_commit() == commit
    code.write_text("# changed")
    assert find_commit() == f"{commit}+changes"
    monkeypatch.setenv("BNN_COMMIT", "")
    assert find_commit() == f"{commit}+changes"


def test_device_has_a_name() -> None:
    assert describe_device(torch.device("cpu"))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_record(path, {"format": 1, "epochs": []})
    assert read_record(path) == {"format": 1, "epochs": []}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_record(path, {"loss": float("nan")})
    assert read_record(path) == {"format": 1, "epochs": []}


@pytest.mark.parametrize("content", ["", "[]", json.dumps({"format": 9, "epochs": []})])
def test_other_files_are_no_records(tmp_path: Path, content: str) -> None:
    (tmp_path / "record.json").write_text(content)
    with pytest.raises(DataError, match="expected the record of a run"):
        read_record(tmp_path / "record.json")
