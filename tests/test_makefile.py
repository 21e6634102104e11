"""The Makefile: every command is listed by `make help`, which runs nothing else."""

import re
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def text(repository: Path) -> str:
    """With continued lines as one."""
    return (repository / "Makefile").read_text().replace("\\\n", " ")


@pytest.fixture(scope="module")
def commands(text: str) -> set[str]:
    """What is no file, without the parts of lint."""
    (first, *others) = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert others == ["$(LINTERS)"]
    return set(first.split())


def test_help_lists_every_command(repository: Path, commands: set[str]) -> None:
    printed = subprocess.run(
        ["make", "help"], cwd=repository, capture_output=True, text=True, check=True
    ).stdout
    listed = dict(re.findall(r"^  make (\S+) +(\S.*)$", printed, re.MULTILINE))
    listed.pop("serve BNN_PORT=9000", None)
    assert commands == listed.keys()
    assert "wheel-arm64" in listed


def test_every_explained_target_is_a_command(text: str, commands: set[str]) -> None:
    assert set(re.findall(r"^([\w-]+):.*? ## \S", text, re.MULTILINE)) == commands


def test_help_runs_two_programs_that_only_print(repository: Path) -> None:
    planned = subprocess.run(
        ["make", "--dry-run"], cwd=repository, capture_output=True, text=True, check=True
    ).stdout
    assert {line.split()[0] for line in planned.splitlines()} == {"awk", "echo"}
