"""models.records.provenance: names the code and the device."""

import subprocess
from pathlib import Path

import pytest
import torch

from models.records.provenance import CODE, describe_code, describe_device, find_commit
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


def make_code(folder: Path) -> tuple[Path, Path]:
    """Folders of code as this repository's, without a repository."""
    for name in ("models/__init__.py", "runtime/__init__.py", "runtime/csrc/stage.cpp"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder / "models", folder / "runtime"


def test_the_code_is_that_of_models_and_of_runtime(repository: Path) -> None:
    assert (repository / "models", repository / "runtime") == CODE


def test_an_installed_copy_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = make_code(tmp_path)
    assert find_commit(code) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_commit(code) is None


def test_a_copy_outside_of_its_repository_has_the_commit_that_it_is_said_to_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = make_code(tmp_path)
    monkeypatch.setenv("BNN_COMMIT", "0123abc+changes")
    assert find_commit(code) == "0123abc+changes"
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        assert find_commit(code) == "0123abc+changes", "without git, too"
    monkeypatch.setenv("BNN_COMMIT", "")
    assert find_commit(code) is None


def test_inside_of_a_repository_nothing_else_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of this code's own: an installed copy may lie in a folder of another one that ignores it."""
    monkeypatch.setenv("BNN_COMMIT", "elsewhere")
    (tmp_path / "other.py").touch()
    commit_folder(tmp_path)
    code = make_code(tmp_path)
    assert find_commit(code) == "elsewhere"
    commit = commit_folder(tmp_path)
    assert find_commit(code) == commit
    (code[0] / "__init__.py").write_text("# changed")
    assert find_commit(code) == f"{commit}+changes"
    monkeypatch.setenv("BNN_COMMIT", "")
    assert find_commit(code) == f"{commit}+changes"


@pytest.mark.parametrize(
    ("file", "is_code"),
    [
        ("models/__init__.py", True),
        ("models/data/new.py", True),
        ("runtime/__init__.py", True),
        ("runtime/csrc/stage.cpp", True),
        ("runtime/csrc/kernels/new.inc", True),
        ("models/RESULTS.md", False),
        ("runtime/bench/results/latest.json", False),
        ("service/__init__.py", False),
    ],
)
def test_changes_are_those_of_all_code_that_a_figure_depends_on(
    file: str, is_code: bool, tmp_path: Path
) -> None:
    code = make_code(tmp_path)
    commit = commit_folder(tmp_path)
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text("changed")
    assert find_commit(code) == (f"{commit}+changes" if is_code else commit)


def test_code_outside_of_the_repository_is_not_said_to_be_of_the_commit(tmp_path: Path) -> None:
    models, runtime = make_code(tmp_path / "a")[0], make_code(tmp_path / "b")[1]
    commit = commit_folder(tmp_path / "a")
    assert find_commit((models, runtime)) == f"{commit}+changes"


def test_device_has_a_name() -> None:
    assert describe_device(torch.device("cpu"))
