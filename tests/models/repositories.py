"""Tiny git repositories that tests make of folders they wrote."""

import os
import subprocess
from pathlib import Path

import pytest

DATE = "2001-02-03T04:05:06Z"  # of every commit: the same files have the same commit


def run_git(*arguments: str | Path) -> str:
    """What git prints. Skips where there is no git."""
    # A hook of git may run the tests: its variables would make this act on the repository outside.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    alone = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    dates = {"GIT_AUTHOR_DATE": DATE, "GIT_COMMITTER_DATE": DATE}
    try:
        answer = subprocess.run(
            ["git", *arguments], capture_output=True, check=True, env=kept | alone | dates
        )
    except FileNotFoundError:
        pytest.skip("git is not installed")
    return answer.stdout.decode().strip()


def commit_folder(folder: Path) -> str:
    """Everything in the folder as a commit, the first of a new repository or another; its name."""
    if not (folder / ".git").exists():
        run_git("init", "--quiet", folder)
    run_git("-C", folder, "add", "--all")
    return commit_index(folder)


def commit_index(folder: Path) -> str:
    """What was added to the index as a commit; its name."""
    person = ("-c", "user.name=Nobody", "-c", "user.email=nobody@example.org")
    run_git("-C", folder, *person, "-c", "commit.gpgsign=false", "commit", "--quiet", "-m", "x")
    return run_git("-C", folder, "rev-parse", "HEAD")


def clone_bare(source: Path, target: Path) -> None:
    """A clone without a work tree, as the commands advise it."""
    run_git("clone", "--quiet", "--bare", source, target)


def clone_without_blobs(source: Path, target: Path) -> None:
    """A bare clone that fetches the content of a file only when it is read."""
    run_git("-C", source, "config", "uploadpack.allowFilter", "true")
    # Of a path alone git would copy everything, whatever the filter.
    run_git("clone", "--quiet", "--bare", "--filter=blob:none", source.as_uri(), target)
