"""Files of a commit, read from a local clone of a repository, with no work tree checked out."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from models.errors import DataError, IncompleteData, NoClone

Blobs = Mapping[str, str]  # path -> name of the object, sorted by path


def list_files(clone: Path, commit: str) -> Blobs:
    """All files of a commit.

    Raises NoClone; IncompleteData, saying how to get it, if the clone has no such commit; DataError
    if there is no git.
    """
    if _git(clone, "rev-parse", "--git-dir") is None:
        raise NoClone(f"{clone}: expected a clone; found none")
    listed = _git(clone, "ls-tree", "-r", "-z", commit)
    if listed is None:
        raise IncompleteData(
            f"{clone}: expected commit {commit}; found a clone without it: "
            f"git -C {shlex.quote(str(clone))} fetch origin {commit}"
        )
    rows = (row.split(b"\t", 1) for row in listed.split(b"\0") if row)
    found = {path.decode("utf-8", "surrogateescape"): head.split() for head, path in rows}
    return {path: found[path][2].decode() for path in sorted(found) if found[path][1] == b"blob"}


def _git(clone: Path, *arguments: str) -> bytes | None:
    """What git prints, None if it fails. Raises DataError if there is no git."""
    try:
        # A folder inside of another repository is no clone: git must not look above it.
        answer = subprocess.run(
            ["git", f"--git-dir={_git_folder(clone)}", *arguments], capture_output=True, check=False
        )
    except FileNotFoundError as error:
        raise DataError("expected git, which reads clones; found none. Install it.") from error
    return answer.stdout if answer.returncode == 0 else None


def _git_folder(clone: Path) -> Path:
    """Of a clone with a work tree, or of a bare one."""
    return clone / ".git" if (clone / ".git").exists() else clone


@contextmanager
def open_reader(clone: Path) -> Iterator[Reader]:
    """One git process reads all objects of a clone, one after the other."""
    with subprocess.Popen(
        ["git", f"--git-dir={_git_folder(clone)}", "cat-file", "--batch"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        yield Reader(process, clone)


class Reader:
    """Reads objects by their names."""

    def __init__(self, process: subprocess.Popen[bytes], clone: Path) -> None:
        self._clone = clone
        assert process.stdin is not None
        assert process.stdout is not None
        self._ask, self._answer = process.stdin, process.stdout

    def read(self, name: str) -> bytes | None:
        """The object's bytes; None if the clone lacks it.

        Raises DataError if git ended, as it does where it should fetch the object and cannot.
        """
        self._ask.write(name.encode() + b"\n")
        self._ask.flush()
        head = self._answer.readline().split()
        if not head:
            raise DataError(
                f"{self._clone}: expected the object {name}; git ended without it. A clone made "
                "with --filter lacks objects: clone again without."
            )
        if len(head) != 3:  # "NAME missing"
            return None
        data = self._answer.read(int(head[2]))
        if len(data) < int(head[2]) or self._answer.read(1) != b"\n":
            raise DataError(
                f"{self._clone}: expected {int(head[2])} bytes of the object {name}; found "
                f"{len(data)}. The clone is damaged: clone again."
            )
        return data
