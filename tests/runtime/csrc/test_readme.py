"""The document beside the kernels: its Python runs, and the names it explains are in the code."""

import doctest
import re
from pathlib import Path

SOURCES = Path(__file__).parents[3] / "runtime" / "csrc"
DOCUMENT = SOURCES / "README.md"


def test_its_python_runs():
    outcome = doctest.testfile(str(DOCUMENT), module_relative=False)
    assert outcome.attempted > 10
    assert outcome.failed == 0


def test_its_names_are_in_the_code():
    kinds = {".h", ".cpp", ".inc", ".txt"}
    code = "".join(path.read_text() for path in SOURCES.rglob("*.*") if path.suffix in kinds)
    names = {
        name
        for name in re.findall(r"`([A-Za-z_]{4,})`", DOCUMENT.read_text())
        if name not in {"popcount", "generic", "NAMES"}
    }
    assert len(names) > 15
    assert [name for name in sorted(names) if name not in code] == []


def test_its_files_exist():
    """By their paths from csrc, or in the table of one room by their names there."""
    sliced = SOURCES / "kernels" / "sliced"
    names = re.findall(r"`([\w/]+\.(?:h|inc|cpp))`", DOCUMENT.read_text())
    assert len(names) > 15
    missing = [n for n in names if not (SOURCES / n).is_file() and not (sliced / n).is_file()]
    assert missing == []
