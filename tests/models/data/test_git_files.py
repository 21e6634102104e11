"""models.data.git_files: files of a commit, with and without a work tree; what is missing."""

import os
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from models.data.git_files import list_files, open_reader
from models.errors import DataError, IncompleteData
from tests.models.repositories import (
    clone_bare,
    clone_without_blobs,
    commit_folder,
    commit_index,
    run_git,
)

NOT_UTF8 = os.fsdecode(b"latin \xe9.txt")
FILES = {
    "a b.txt": b"one\n",
    "birds/Eule \N{OWL}.png": b"\0\r\n\xff" * 9,
    "birds/gro\N{LATIN SMALL LETTER SHARP S}/x": b"",
    "tab\tand\nline": b"two",
    NOT_UTF8: b"three",
}


def write_files(folder: Path, content: dict[str, bytes]) -> None:
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


@pytest.fixture(params=["with a work tree", "bare"])
def clone(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    """A clone of FILES, and its commit."""
    write_files(tmp_path / "source", FILES)
    commit = commit_folder(tmp_path / "source")
    if request.param != "bare":
        return tmp_path / "source", commit
    clone_bare(tmp_path / "source", tmp_path / "clone")
    return tmp_path / "clone", commit


def test_files_are_listed_by_path_and_read(clone: tuple[Path, str]) -> None:
    blobs = list_files(*clone)
    assert list(blobs) == sorted(FILES)
    with open_reader(clone[0]) as reader:
        found = {path: reader.read(name) for path, name in blobs.items()}
        again = reader.read(blobs["a b.txt"])
    assert found == FILES
    assert again == b"one\n", "in any order, as often as asked"


def test_the_commit_counts_not_the_work_tree_nor_the_newest(tmp_path: Path) -> None:
    write_files(tmp_path, {"kept": b"old", "gone": b"x"})
    first = commit_folder(tmp_path)
    write_files(tmp_path, {"kept": b"new", "added": b"y"})
    (tmp_path / "gone").unlink()
    second = commit_folder(tmp_path)
    write_files(tmp_path, {"kept": b"not committed"})
    blobs = list_files(tmp_path, first)
    assert list(blobs) == ["gone", "kept"]
    assert list(list_files(tmp_path, second)) == ["added", "kept"]
    with open_reader(tmp_path) as reader:
        assert reader.read(blobs["kept"]) == b"old"


def test_repositories_inside_of_a_repository_are_no_files(tmp_path: Path) -> None:
    write_files(tmp_path, {"file": b""})
    commit = commit_folder(tmp_path)
    run_git("-C", tmp_path, "update-index", "--add", "--cacheinfo", f"160000,{commit},inner")
    assert list(list_files(tmp_path, commit_index(tmp_path))) == ["file"]


def test_a_commit_that_lacks_can_be_fetched_as_advised(tmp_path: Path) -> None:
    """Pasted into a shell as it is, though the folder's name has a space."""
    source, bare = tmp_path / "source", tmp_path / "a clone; echo"
    write_files(source, {"a": b""})
    commit_folder(source)
    clone_bare(source, bare)
    write_files(source, {"b": b""})
    later = commit_folder(source)
    with pytest.raises(IncompleteData) as error:
        list_files(bare, later)
    expected, command = str(error.value).split(": git ")
    assert expected == f"{bare}: expected commit {later}; found a clone without it"
    assert command == f"-C '{bare}' fetch origin {later}"
    run_git(*shlex.split(command))
    assert list(list_files(bare, later)) == ["a", "b"]


def test_a_commit_that_nobody_has_is_named(clone: tuple[Path, str]) -> None:
    for commit in ("0" * 40, "1" * 40, "no-branch"):
        with pytest.raises(IncompleteData, match=f"git -C {clone[0]} fetch origin {commit}$"):
            list_files(clone[0], commit)


def test_folders_that_are_no_clone_are_named(tmp_path: Path) -> None:
    """Not taken for their repository outside, to which git would go up."""
    write_files(tmp_path, {"inner/file": b""})
    commit = commit_folder(tmp_path)
    for folder in (tmp_path / "inner", tmp_path / "inner" / "file", tmp_path / "missing"):
        with pytest.raises(IncompleteData) as error:
            list_files(folder, commit)
        assert str(error.value).startswith(f"{folder}: expected a clone; found none")


def test_objects_that_the_clone_lacks_are_none(tmp_path: Path) -> None:
    write_files(tmp_path, {"a": b"first", "b": b"second"})
    blobs = list_files(tmp_path, commit_folder(tmp_path))
    lost = blobs["a"]
    (tmp_path / ".git" / "objects" / lost[:2] / lost[2:]).unlink()
    with open_reader(tmp_path) as reader:
        assert reader.read(lost) is None
        assert reader.read("0" * 40) is None
        assert reader.read(blobs["b"]) == b"second", "and the next one is read"


def test_objects_left_out_of_a_clone_are_fetched_or_an_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Never None, as if the commit had them not: git ends where it cannot fetch one."""
    source, clone = tmp_path / "source", tmp_path / "clone"
    write_files(source, {"a": b"first", "b": b"second"})
    commit = commit_folder(source)
    clone_without_blobs(source, clone)
    blobs = list_files(clone, commit)
    with open_reader(clone) as reader:
        assert reader.read(blobs["a"]) == b"first"
    source.rename(tmp_path / "away")
    with open_reader(clone) as reader:
        assert reader.read(blobs["a"]) == b"first", "it has been fetched before"
        assert reader.read("0" * 40) is None
        with pytest.raises(DataError, match=f"object {blobs['b']}; .* clone again without"):
            reader.read(blobs["b"])
    assert f"could not fetch {blobs['b']}" in capfd.readouterr().err, "git says why"


def test_damaged_objects_are_an_error(tmp_path: Path) -> None:
    """git prints how long an object is, and ends where it finds it cut."""
    repository = tmp_path / "repository"
    content = {"a.bin": np.random.default_rng(0).bytes(300_000)}
    write_files(repository, content)
    blobs = list_files(repository, commit_folder(repository))
    name = blobs["a.bin"]
    path = repository / ".git" / "objects" / name[:2] / name[2:]
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:150_000])
    with (
        pytest.raises(DataError, match=r"300000 bytes of the object .* The clone is damaged"),
        open_reader(repository) as reader,
    ):
        reader.read(name)


def test_variables_of_git_do_not_lead_elsewhere(
    clone: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside of a hook they name the repository that the hook belongs to."""
    write_files(tmp_path / "other", {"x": b""})
    commit_folder(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert list(list_files(*clone)) == sorted(FILES)


def test_without_git_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    message = re.escape("expected git, which reads clones; found none. Install it.")
    with pytest.raises(DataError, match=message) as error:
        list_files(tmp_path, "0" * 40)
    assert not isinstance(error.value, IncompleteData), "no clone would help"
