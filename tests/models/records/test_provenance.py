"""models.records.provenance: names the code and the device."""

import subprocess
from pathlib import Path

import pytest
import torch

from models.records import provenance
from models.records.provenance import describe_code, describe_device, find_commit
from tests.models.repositories import commit_folder


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
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "records" / "provenance.py"))
    assert find_commit() is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_commit() is None


def test_a_copy_outside_of_its_repository_has_the_commit_that_it_is_said_to_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "records" / "provenance.py"))
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
    code = tmp_path / "records" / "provenance.py"
    code.parent.mkdir()
    monkeypatch.setattr(provenance, "__file__", str(code))
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
