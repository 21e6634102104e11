"""The machine of a report: by its CPU's name and instruction sets, on x86 and ARM."""

from pathlib import Path

from loadtests.output.machine import describe_machine, format_machine, read_load

X86 = """processor\t: 0
model\t\t: 17
model name\t: A CPU
cpu family\t: 25
flags\t\t: fpu avx2 avx512f nonsense
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd asimddp\nCPU part\t: 0xd0b\n"


def test_x86(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(X86)
    machine = describe_machine(tmp_path / "cpuinfo")
    assert (machine["cpu"], machine["family"], machine["model"]) == ("A CPU", "25", "17")
    assert machine["features"] == ["avx2", "avx512f"]
    assert machine["cpus"] >= 1


def test_arm(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(ARM)
    machine = describe_machine(tmp_path / "cpuinfo")
    assert (machine["model"], machine["features"]) == ("0xd0b", ["asimd", "asimddp"])


def test_paragraph_names_the_load_before_and_after(tmp_path: Path) -> None:
    machine = {**describe_machine(tmp_path / "missing"), "load_average": [1.5, 0, 0]}
    text = format_machine(machine, [2.5, 0, 0])
    assert "1.5, 2.5" in text
    assert "no known features" in text
    assert len(read_load()) == 3
