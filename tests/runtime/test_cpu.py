"""runtime.cpu: the fields of the first processor, and nothing where Linux does not tell."""

from pathlib import Path

from runtime.cpu import read_cpuinfo

TWO = """processor\t: 0
model name\t: A CPU: 3 GHz
flags\t\t: fpu avx2

processor\t: 1
model name\t: another
a line without a value
Model\t\t: A board
"""


def test_fields_are_those_of_the_first_processor(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(TWO)
    assert read_cpuinfo(tmp_path / "cpuinfo") == {
        **{"processor": "0", "model name": "A CPU: 3 GHz", "flags": "fpu avx2"},
        "Model": "A board",
    }


def test_other_systems_have_none(tmp_path: Path) -> None:
    assert read_cpuinfo(tmp_path / "absent") == {}
    (tmp_path / "odd").write_bytes(b"\xff\xfe: \xff")
    assert len(read_cpuinfo(tmp_path / "odd")) == 1
