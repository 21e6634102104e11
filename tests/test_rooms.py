""".ci/rooms: rooms, arrows, floors and circles of small folders, in Python and in C++."""

import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = {
    "__init__.py": '"""The package."""\n',
    "first.py": "import argparse\nfrom house.top.roof import tiles\n",
    "second.py": "def main():\n    from .top import roof\n",
    "top/__init__.py": '"""The top."""\n',
    "top/roof.py": "import os\nfrom house.ground import cellar, door\nfrom house import errors\n",
    "top/attic.py": "from . import roof\nimport house.ground.door as door\n",
    "ground/cellar.py": "from ..errors import Flooded\n",
    "ground/door.py": "",
    "errors.py": "class Flooded(Exception): ...\n",
}
KERNELS = {
    "main.cpp": '#include <string>\n#include "core/team.h"\n',
    "core/team.h": "#pragma once\n",
    "core/team.cpp": '#include "team.h"\n#  include "parts/parts.h"\n',
    "parts/parts.h": "",
    "parts/parts.cpp": '#include "parts.h"\n#include "../core/team.h"\n#include "absent.h"\n',
    "README.md": '#include "main.cpp"\n',
}


def ask(repository: Path, *folders: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, repository / ".ci" / "rooms", *folders]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def build(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_rooms_of_a_package_stand_above_what_they_use(repository: Path, tmp_path: Path) -> None:
    answer = ask(repository, build(tmp_path / "house", PACKAGE))
    assert answer.stderr == ""
    title, _, *rows = answer.stdout.splitlines()
    assert title == "house: 7 files, 4 rooms, 4 floors, 4 arrows, 0 circles"
    assert [row.split() for row in rows] == [
        ["4", "(entries)", "2", "4", "top/"],
        ["3", "top/", "2", "5", "errors", "ground/"],
        ["2", "ground/", "2", "1", "errors"],
        ["1", "errors", "1", "1"],
    ]


def test_a_circle_between_folders_of_sources_is_named(repository: Path, tmp_path: Path) -> None:
    answer = ask(repository, build(tmp_path / "csrc", KERNELS))
    title, _, *rows = answer.stdout.splitlines()
    assert title == "csrc: 5 files, 3 rooms, 2 floors, 3 arrows, 1 circles"
    assert rows[-1] == "circle: core/ parts/"
    assert [row.split()[:2] for row in rows[:-1]] == [
        ["2", "main"],
        ["1", "core/"],
        ["1", "parts/"],
    ]


@pytest.mark.parametrize("package", ["models", "runtime", "runtime/csrc"])
def test_rooms_of_this_repository_use_each_other_in_no_circle(
    package: str, repository: Path
) -> None:
    answer = ask(repository, repository / package)
    assert " 0 circles" in answer.stdout.splitlines()[0]


def test_folders_without_code_are_refused(repository: Path, tmp_path: Path) -> None:
    for folders in ((), (tmp_path,), (tmp_path / "absent",)):
        answer = ask(repository, *folders)
        assert answer.returncode == 2
        assert "expected folders of code; found" in answer.stderr
